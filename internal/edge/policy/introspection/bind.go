package introspection

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/fetch"
	"straum.dev/straum/internal/introspect"
)

// introspection is the policy that runs, for one revision.
type introspection struct {
	*checked
	source    *source
	consumers *consumer.Directory
	policy.Bearer
}

// unbound is the policy before it is bound.
type unbound struct{ *checked }

// maxAnswer is the longest answer of an endpoint that is read, in bytes.
const maxAnswer = 64 << 10

// Bind implements policy.Binder.
func (u unbound) Bind(w *policy.World) (any, error) {
	p := &introspection{checked: u.checked, consumers: w.Consumers}
	p.Bearer = policy.NewBearer(u.options.Realm, u.options.Scopes)
	c := &u.options
	client, err := fetch.New(fetch.Settings{CA: u.ca, Timeout: c.Timeout.Std(), MaxBody: maxAnswer, MaxConnections: min(c.Questions, 64)})
	if err != nil {
		return nil, u.place.Errorf("ca", "%s", err)
	}
	var shared introspect.Shared
	where := "none"
	if c.Redis && w.Redis != nil {
		shared, where = w.Redis, fmt.Sprintf("%p", w.Redis) // a client of other settings is another one
	}
	settings := u.settings()
	key := w.Keys.Key("introspection")
	p.source = policy.Hold(w.State, name, identity(settings, key, client.Identity(), where), func() *source {
		return &source{introspect.New(settings, key, client, shared, w.Log, time.Now), client, settings.ClientID}
	})
	return p, nil
}

// settings are the options as a source takes them. Those that judge an answer are not among them, so that a change there keeps what is
// remembered.
func (u *checked) settings() introspect.Settings {
	c := &u.options
	burst := c.FloodBurst
	if burst == 0 {
		burst = -1
	}
	return introspect.Settings{
		URL: u.url, Auth: introspect.Auth(c.Auth), ClientID: c.ClientID, ClientSecret: c.ClientSecret.Reveal(), Token: c.Token.Reveal(),
		Hint: c.TokenTypeHint, TTL: c.TTL.Std(), InactiveTTL: c.InactiveTTL.Std(), Timeout: c.Timeout.Std(), ServeStale: c.ServeStale.Std(),
		Bytes: uint64(c.Cache), Questions: c.Questions, FloodBurst: burst, FloodRate: c.FloodRate,
	}
}

// identity spells out, hashed, everything that a source depends on.
func identity(s introspect.Settings, key [32]byte, client, shared string) string {
	h := sha256.New()
	place := s.URL.String()
	s.URL = nil // an address, and not what is there
	fmt.Fprintf(h, "%q %#v %x %q %q", place, s, key, client, shared)
	return hex.EncodeToString(h.Sum(nil))
}

// source is what is held: who is asked, and what asks.
type source struct {
	*introspect.Source
	client   *fetch.Client
	clientID string
}

// Stop implements policy.Stopper.
func (s *source) Stop() {
	s.Source.Stop()
	s.client.Stop()
}
