package oidc

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/fetch"
	"straum.dev/straum/internal/keyset"
	"straum.dev/straum/internal/openid"
	"straum.dev/straum/internal/session"
)

// unbound is the policy as it is built.
type unbound struct {
	set   *settings
	place policy.Options
}

// login is the policy that runs.
type login struct {
	set       *settings
	provider  *openid.Provider
	sessions  *session.Sealer
	attempts  *session.Sealer
	desk      *desk
	places    *places
	consumers *consumer.Directory
	recent    *recent
	now       func() time.Time
}

// Bind implements policy.Binder. It reads the file of roots. The provider's keys are fetched beside; that it cannot be reached shows when
// somebody logs in.
func (u *unbound) Bind(w *policy.World) (any, error) {
	set := u.set
	client, err := fetch.New(fetch.Settings{CA: set.CA, Timeout: time.Duration(set.Timeout), MaxBody: keyset.MaxBody, MaxConnections: maxAsking})
	if err != nil {
		return nil, u.place.Errorf("ca", "%s", err)
	}
	client = policy.Hold(w.State, "oidc client", client.Identity(), func() *fetch.Client { return client })
	keys := keyset.Settings{Issuer: set.Issuer, Client: client, Log: w.Log}
	source := policy.Hold(w.State, "oidc keys", keys.Identity()+" "+client.Identity(), func() *keyset.Source { return keyset.New(keys) })
	secret := sha256.Sum256([]byte(set.ClientSecret.Reveal()))
	identity := set.Issuer + " " + set.ClientID + " " + set.ClientAuth + " " + set.Skew.String() + " " + hex.EncodeToString(secret[:]) + " " + client.Identity()
	provider := policy.Hold(w.State, "oidc provider", identity, func() *openid.Provider {
		return openid.New(openid.Settings{Issuer: set.Issuer, Client: set.ClientID, Secret: set.ClientSecret.Reveal(), Auth: openid.ClientAuth(set.ClientAuth),
			Fetch: client, Keys: source, Skew: time.Duration(set.Skew)})
	})
	key := w.Keys.Key("oidc session")
	// What was opened goes with the key, should the secret change, and with the fields that claims go into.
	opened := sha256.Sum256(key[:])
	seen := set.identity + " " + hex.EncodeToString(opened[:]) + fmt.Sprintf(" %q", set.headers)
	return &login{
		set: set, provider: provider, consumers: w.Consumers, now: time.Now,
		sessions: session.New(key),
		recent:   policy.Hold(w.State, "oidc opened", seen, newRecent),
		attempts: session.New(w.Keys.Key("oidc attempt")),
		places:   policy.Hold(w.State, "oidc places", client.Identity()+" "+set.host, newPlaces),
		desk:     policy.Hold(w.State, "oidc desk", set.cookie+" "+set.identity, func() *desk { return newDesk(set.cookie) }),
	}, nil
}
