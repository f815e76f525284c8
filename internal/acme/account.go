package acme

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// useAccount returns the account at the directory. There is one for each directory; it is read from disk, or registered.
func (iss *issuer) useAccount(ctx context.Context) (acme.Account, error) {
	iss.mu.Lock()
	defer iss.mu.Unlock()
	if iss.account != nil {
		return *iss.account, nil
	}
	// Another process, such as the one we take over from, may be registering it.
	lock := "account_" + iss.key
	if err := iss.m.store.Lock(ctx, lock); err != nil {
		return acme.Account{}, fmt.Errorf("lock of the account: %w", err)
	}
	defer func() { _ = iss.m.store.Unlock(ctx, lock) }()

	account, err := iss.readAccount(ctx)
	if err != nil {
		return account, err
	}
	switch {
	case account.Status == "":
		account, err = iss.register(ctx, account)
	case !slices.Equal(account.Contact, iss.contact()):
		account, err = iss.updateContact(ctx, account)
	}
	if err != nil {
		return account, err
	}
	iss.account = &account
	return account, nil
}

// renewAccount forgets the account and registers another one with a fresh key.
func (iss *issuer) renewAccount(ctx context.Context, gone acme.Account) (acme.Account, error) {
	iss.mu.Lock()
	if iss.account != nil && iss.account.Location == gone.Location {
		iss.account = nil
		for _, file := range []string{iss.accountFile("json"), iss.accountFile("key")} {
			if err := iss.m.store.Delete(ctx, file); err != nil {
				iss.mu.Unlock()
				return gone, fmt.Errorf("forgetting the account: %w", err)
			}
		}
	}
	iss.mu.Unlock()
	return iss.useAccount(ctx)
}

func (iss *issuer) accountFile(kind string) string {
	return path.Join("accounts", certmagic.StorageKeys.Safe(iss.key), "account."+kind)
}

func (iss *issuer) contact() []string {
	if iss.terms.email == "" {
		return nil
	}
	return []string{"mailto:" + iss.terms.email}
}

// readAccount reads what is on disk. Without an account its Status is empty; its key is made if there is none, and kept before
// it is used, so that a registration whose answer is lost is found again.
func (iss *issuer) readAccount(ctx context.Context) (acme.Account, error) {
	var account acme.Account
	text, err := iss.m.store.Load(ctx, iss.accountFile("json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return account, fmt.Errorf("account: %w", err)
	default:
		if err := json.Unmarshal(text, &account); err != nil {
			account = acme.Account{} // cut short by a full disk of old; the key finds it again
		}
	}

	text, err = iss.m.store.Load(ctx, iss.accountFile("key"))
	if errors.Is(err, fs.ErrNotExist) {
		account = acme.Account{}
		text, err = iss.makeKey(ctx)
	}
	if err != nil {
		return account, fmt.Errorf("key of the account: %w", err)
	}
	key, err := certmagic.PEMDecodePrivateKey(text)
	if err != nil {
		return account, fmt.Errorf("key of the account: %s: %w", iss.m.store.Filename(iss.accountFile("key")), err)
	}
	account.PrivateKey = key
	return account, nil
}

func (iss *issuer) makeKey(ctx context.Context) ([]byte, error) {
	made, err := certmagic.StandardKeyGenerator{KeyType: certmagic.P256}.GenerateKey()
	if err != nil {
		return nil, err
	}
	text, err := certmagic.PEMEncodePrivateKey(made.(crypto.Signer))
	if err != nil {
		return nil, err
	}
	return text, iss.m.store.Store(ctx, iss.accountFile("key"), text)
}

// register makes the account. Whoever configures automatic certificates agrees to the authority's terms of service; what was
// agreed to is logged.
func (iss *issuer) register(ctx context.Context, account acme.Account) (acme.Account, error) {
	directory, err := iss.client.GetDirectory(ctx)
	if err != nil {
		return account, fmt.Errorf("directory %s: %w", iss.terms.directory, err)
	}
	terms := ""
	if directory.Meta != nil {
		terms = directory.Meta.TermsOfService
		if directory.Meta.ExternalAccountRequired && iss.terms.binding.KeyID == "" {
			return account, errors.New("the authority takes only accounts bound to an external one: configure the key id and HMAC key it gave you")
		}
	}
	account.Contact, account.TermsOfServiceAgreed = iss.contact(), true
	if b := iss.terms.binding; b.KeyID != "" {
		if err := account.SetExternalAccountBinding(ctx, iss.client.Client, acme.EAB{KeyID: b.KeyID, MACKey: b.HMAC}); err != nil {
			return account, fmt.Errorf("external account: %w", err)
		}
	}
	if account, err = iss.client.NewAccount(ctx, account); err != nil {
		return account, fmt.Errorf("registering an account: %w", err)
	}
	account.ExternalAccountBinding = nil
	iss.m.log.Info("an account was registered, and the authority's terms of service were agreed to by configuring automatic certificates",
		"directory", iss.terms.directory, "account", account.Location, "terms_of_service", terms)
	return account, iss.saveAccount(ctx, account)
}

// updateContact tells the authority a new address. A refusal is no reason not to issue.
func (iss *issuer) updateContact(ctx context.Context, account acme.Account) (acme.Account, error) {
	if _, err := iss.client.GetDirectory(ctx); err != nil {
		return account, fmt.Errorf("directory %s: %w", iss.terms.directory, err)
	}
	next := account
	next.Contact = iss.contact()
	got, err := iss.client.UpdateAccount(ctx, next)
	if err != nil {
		if problem(err) == acme.ProblemTypeAccountDoesNotExist {
			return account, nil // the order finds out and makes it again
		}
		iss.m.log.Warn("the account's contact could not be changed", "directory", iss.terms.directory, "error", explain(err))
		return account, nil
	}
	// Some authorities keep no contact and answer with none; ours is remembered so that it is told once.
	next.Status = got.Status
	return next, iss.saveAccount(ctx, next)
}

func (iss *issuer) saveAccount(ctx context.Context, account acme.Account) error {
	account.Contact = iss.contact()
	text, err := json.MarshalIndent(account, "", "  ")
	if err != nil {
		return fmt.Errorf("account: %w", err)
	}
	if err := iss.m.store.Store(ctx, iss.accountFile("json"), text); err != nil {
		return fmt.Errorf("account: %w", err)
	}
	return nil
}
