package jwt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/fetch"
	"straum.dev/straum/internal/keyset"
	"straum.dev/straum/internal/token"
)

// keys are what tokens are verified with.
type keys interface {
	// Set is the current keys, nil while there are none. It never waits.
	Set() *token.Set
	// Wait is Set for a token whose key is not there: it waits until ctx ends for keys that may be on their way.
	Wait(ctx context.Context, kid string) *token.Set
}

// fixed is keys of the configuration.
type fixed struct{ set *token.Set }

func (f fixed) Set() *token.Set                         { return f.set }
func (f fixed) Wait(context.Context, string) *token.Set { return f.set }

// jwt is the policy that runs, for one revision.
type jwt struct {
	*terms
	source    keys
	consumers *consumer.Directory
	memory    *memory // nil to remember nothing
	owner     [sha256.Size]byte
	policy.Bearer
}

// unbound is the policy before it is put in force.
type unbound struct{ terms *terms }

// Bind implements policy.Binder.
func (b unbound) Bind(w *policy.World) (any, error) {
	source, err := b.terms.open(w)
	if err != nil {
		return nil, err
	}
	return b.terms.bind(w, source), nil
}

// bind makes the policy that runs with these keys.
func (u *terms) bind(w *policy.World, source keys) *jwt {
	p := &jwt{terms: u, source: source, consumers: w.Consumers, owner: u.identity()}
	p.Bearer = policy.NewBearer(u.options.Realm, u.options.Scopes)
	if size := u.options.Cache; size > 0 {
		p.memory = policy.Hold(w.State, "jwt memory", size.String(), func() *memory { return newMemory(size) })
	}
	return p
}

// open finds the keys. Those that are fetched are held, since it takes time to have them.
func (u *terms) open(w *policy.World) (keys, error) {
	c := &u.options
	switch {
	case u.keys != nil:
		warn(w.Log, u.warnings)
		return fixed{u.keys}, nil
	case c.KeysFile != "":
		set, err := u.readKeys(w.Log)
		if err != nil {
			return nil, u.place.Errorf("keys_file", "%s", err)
		}
		return fixed{set}, nil
	}
	client, err := fetch.New(fetch.Settings{CA: u.ca, MaxBody: keyset.MaxBody})
	if err != nil {
		return nil, u.place.Errorf("ca", "%s", err)
	}
	settings := keyset.Settings{URL: u.jwks, Client: client, Log: w.Log}
	if u.jwks == nil {
		settings.Issuer = u.rules.Issuers[0]
	}
	return u.hold(w, settings.Identity()+" "+client.Identity(), settings, client), nil
}

// hold gives the source of keys, which all policies with keys of the same place share. What only tunes it is held apart, so that a change
// there costs no key.
func (u *terms) hold(w *policy.World, identity string, settings keyset.Settings, client *fetch.Client) *source {
	s := policy.Hold(w.State, "jwt keys", identity, func() *source { return newSource(identity, settings, client) })
	tuning := keyset.Tuning{Interval: u.options.Refetch.Std(), MaxStale: u.options.MaxStale.Std()}
	policy.Hold(w.State, "jwt tuning", fmt.Sprint(identity, " ", tuning), func() *tuned { return &tuned{s, tuning} })
	return s
}

// tuned is what a revision asks of a source, from the time it takes requests until no revision asks for it any more.
type tuned struct {
	source *source
	tuning keyset.Tuning
}

// Start implements policy.Starter.
func (t *tuned) Start() { t.source.Tune(&t.tuning) }

// Stop implements policy.Stopper.
func (t *tuned) Stop() { t.source.Untune(&t.tuning) }

// readKeys reads the file of keys.
func (u *terms) readKeys(log *slog.Logger) (*token.Set, error) {
	path := u.file
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, token.MaxSetBytes+1))
	if err != nil {
		return nil, err
	}
	set, warnings, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := u.fits(set); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	warn(log, warnings)
	return set, nil
}

// warn tells the operator about keys that were written down and are not used, or should not be there.
func warn(log *slog.Logger, warnings []string) {
	for _, warning := range warnings {
		log.Warn("keys of policy jwt", "warning", warning)
	}
}

// identity spells out, hashed, everything that decides about a token or says what is remembered of it. The keys need not be in it: what
// is remembered is bound to its key.
func (u *terms) identity() (id [sha256.Size]byte) {
	h := sha256.New()
	shown := u.options // the secret shows as ***
	fmt.Fprintf(h, "%#v", []any{
		shown.Issuers, shown.Audiences, shown.JWKS, shown.Discovery, shown.KeysFile, shown.Keys, shown.Algorithms, shown.Skew.Std().String(), shown.Expiry,
		shown.MaxLifetime.Std().String(), shown.Types, shown.MaxSize.String(), shown.Require, shown.Claims, shown.Scopes,
		shown.ConsumerClaim, shown.ClaimsToHeaders,
	})
	h.Sum(id[:0])
	return id
}

// source is a key set that is fetched, with what fetches it.
type source struct {
	*keyset.Source
	client *fetch.Client
	labels [][2]string // tell it apart from all others, also of the same place
}

func newSource(identity string, settings keyset.Settings, client *fetch.Client) *source {
	s := &source{Source: keyset.New(settings), client: client}
	sum := sha256.Sum256([]byte(identity))
	s.labels = [][2]string{{"source", s.Figures().Place}, {"settings", hex.EncodeToString(sum[:4])}}
	return s
}

// Stop implements policy.Stopper.
func (s *source) Stop() {
	s.Source.Stop()
	select {
	case <-s.Ended():
		s.client.Stop()
	default:
		go s.runEnd() // requests wait for a last fetch
	}
}

// runEnd ends with the last fetch, which is soon.
func (s *source) runEnd() {
	<-s.Ended()
	s.client.Stop()
}

// Report implements policy.Reporter.
func (s *source) Report(figure func(policy.Figure)) {
	f := s.Figures()
	age := -1.0
	if f.Age >= 0 {
		age = f.Age.Seconds()
	}
	figure(policy.Figure{Name: "jwt_keys", Help: "Keys of a set that tokens are verified with; 0 when they cannot be.", Labels: s.labels, Value: float64(f.Keys)})
	figure(policy.Figure{Name: "jwt_keys_age_seconds", Help: "Time since a key set was last fetched; -1 when it never was.", Labels: s.labels, Value: age})
	figure(policy.Figure{Name: "jwt_keys_fetches_total", Help: "Fetches of a key set.", Counter: true, Labels: s.labels, Value: float64(f.Fetches)})
	figure(policy.Figure{Name: "jwt_keys_fetch_failures_total", Help: "Fetches of a key set that failed.", Counter: true, Labels: s.labels, Value: float64(f.Failures)})
}
