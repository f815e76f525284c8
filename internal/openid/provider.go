package openid

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"straum.dev/straum/internal/fetch"
	"straum.dev/straum/internal/keyset"
)

// ClientAuth is how the gateway proves to the token endpoint which client it is.
type ClientAuth string

// The ways: Auto is Basic, unless the provider says that it takes Post alone.
const (
	Auto  ClientAuth = "auto"
	Basic ClientAuth = "basic" // RFC 6749 §2.3.1
	Post  ClientAuth = "post"
)

// Settings are those of a Provider.
type Settings struct {
	Issuer string
	Client string // client_id
	Secret string // empty for a public client
	Auth   ClientAuth
	Fetch  keyset.Fetcher
	Keys   *keyset.Source
	// Skew is how far the provider's clock may be off.
	Skew time.Duration
}

// Provider is one provider with one client of it. Many may use it at once.
type Provider struct {
	settings Settings

	mu      sync.Mutex
	found   *Endpoints // nil before the first success
	fetched time.Time  // of found
	failed  time.Time  // the last failure since
	err     error      // of that failure
	flight  chan struct{}
}

// Endpoints are those of a provider. They are immutable.
type Endpoints struct {
	Authorization, Token   *url.URL
	EndSession, Revocation *url.URL // nil when it has none
	// NamesItself says that the provider puts its name into every answer of its authorization endpoint.
	NamesItself bool
	// postOnly says that it takes the client's secret in the body alone.
	postOnly bool
}

const (
	// freshFor is how long what a provider says of itself is believed.
	freshFor = time.Hour
	// retryAfter is how long nobody asks again after a failure.
	retryAfter = 2 * time.Second
)

// New makes a provider. It touches nothing.
func New(s Settings) *Provider { return &Provider{settings: s} }

// ErrUnavailable is a provider that cannot be asked at the moment, or that answers nothing of use. It wraps what went wrong.
var ErrUnavailable = errors.New("the provider cannot be asked")

func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }

// Endpoints are where the provider is, as its discovery document says. They are fetched when somebody needs them and an hour has passed; one
// fetch serves all who wait. When it fails, what was found before goes on to be good.
func (p *Provider) Endpoints(ctx context.Context, now time.Time) (*Endpoints, error) {
	p.mu.Lock()
	for {
		switch {
		case p.found != nil && (now.Sub(p.fetched) < freshFor || p.flight != nil || now.Sub(p.failed) < retryAfter):
			defer p.mu.Unlock()
			return p.found, nil
		case p.flight == nil && p.err != nil && now.Sub(p.failed) < retryAfter:
			defer p.mu.Unlock()
			return nil, p.err
		case p.flight == nil:
			p.flight = make(chan struct{})
			p.mu.Unlock()
			return p.fetch(ctx, now)
		}
		flight := p.flight
		p.mu.Unlock()
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, unavailable(context.Cause(ctx))
		}
		p.mu.Lock()
	}
}

func (p *Provider) fetch(ctx context.Context, now time.Time) (*Endpoints, error) {
	found, err := discover(ctx, p.settings.Fetch, p.settings.Issuer)
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.flight)
	p.flight = nil
	if err != nil {
		p.failed, p.err = now, unavailable(err)
		if p.found == nil {
			return nil, p.err
		}
		return p.found, nil
	}
	p.found, p.fetched, p.err = found, now, nil
	return found, nil
}

func discover(ctx context.Context, f keyset.Fetcher, issuer string) (*Endpoints, error) {
	d, err := keyset.Discover(ctx, f, issuer)
	if err != nil {
		return nil, err
	}
	e := &Endpoints{}
	for _, one := range []struct {
		name string
		into **url.URL
		must bool
	}{
		{"authorization_endpoint", &e.Authorization, true}, {"token_endpoint", &e.Token, true},
		{"end_session_endpoint", &e.EndSession, false}, {"revocation_endpoint", &e.Revocation, false},
	} {
		if *one.into, err = d.Endpoint(one.name); err != nil {
			return nil, err
		}
		if *one.into == nil && one.must {
			return nil, fmt.Errorf("GET %s: the discovery document has no %s", fetch.Place(d.URL), one.name)
		}
	}
	e.NamesItself, _ = d.All["authorization_response_iss_parameter_supported"].(bool)
	if methods, ok := d.All["token_endpoint_auth_methods_supported"].([]any); ok {
		basic, post := false, false
		for _, m := range methods {
			basic = basic || m == "client_secret_basic"
			post = post || m == "client_secret_post"
		}
		e.postOnly = post && !basic
	}
	return e, nil
}
