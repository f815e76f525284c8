package compile

import (
	"time"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/balance"
	"straum.dev/straum/internal/edge/breaker"
	"straum.dev/straum/internal/edge/health"
	"straum.dev/straum/internal/edge/retry"
	"straum.dev/straum/internal/edge/upstream"
)

// What an operator cannot set, because nobody would know better.
const (
	// hashBound sends a key to its next choice when its endpoint has more than 1.25 times its fair share under way.
	hashBound = 125
	// breakerJitter spreads the probes of a fleet over a tenth of the cooldown.
	breakerJitter = 0.1
	// probeTimeout is how long a half-open breaker waits for a probe where the upstream has no timeout to go by.
	probeTimeout = time.Minute
	// retryBase and retryMaxWait bound the waits between tries, retryMaxAfter the Retry-After that is waited for: a client that is
	// kept for longer is better told to come back itself.
	retryBase     = 25 * time.Millisecond
	retryMaxWait  = time.Second
	retryMaxAfter = 5 * time.Second
)

// compiledUpstream is an upstream but for its slot, and for what is made of files.
type compiledUpstream struct {
	upstream.Settings               // without TLS
	trust             *Trust        // nil for one that is spoken to in the clear
	trustAt           document.Node // for problems
}

func (k *compiler) upstream(u *config.Upstream) {
	s := upstream.Settings{
		Name: u.Name,
		Pool: upstream.Pool{
			Connections:  u.Pool.Connections,
			Idle:         u.Pool.Idle,
			IdleTimeout:  u.Pool.IdleTimeout.Std(),
			Queue:        u.Pool.Queue,
			QueueTimeout: u.Pool.QueueTimeout.Std(),
		},
		Timeouts: upstream.Timeouts{
			Connect:   u.Timeouts.Connect.Std(),
			FirstByte: u.Timeouts.FirstByte.Std(),
			Idle:      u.Timeouts.Idle.Std(),
			Exchange:  u.Timeouts.Exchange.Std(),
			Try:       u.Timeouts.Try.Std(),
		},
		Protocol:      protocols[u.Protocol],
		Host:          host(u.Host),
		ResolveEvery:  u.Resolve.Every.Std(),
		ResolveServer: u.Resolve.Server.String(),
	}
	for _, e := range u.Endpoints {
		s.Endpoints = append(s.Endpoints, upstream.Endpoint{Address: e.Address.Address.String(), Weight: e.Weight})
	}
	k.balance(u, &s)
	k.health(u, &s)
	if u.Breaker != nil {
		k.breaker(u, &s)
	}
	k.retry(u, &s)
	out := compiledUpstream{Settings: s, trust: k.trust(u)}
	if u.TLS != nil {
		out.trustAt = u.TLS.Node
	}
	k.out.upstreams = append(k.out.upstreams, out)
}

var protocols = map[string]upstream.Protocol{"http1": upstream.HTTP1, "http2": upstream.HTTP2, "auto": upstream.Auto}

func (k *compiler) balance(u *config.Upstream, s *upstream.Settings) {
	kind, err := balance.ParseKind(u.Balance.Method)
	if err != nil {
		k.refused(u.Node.At("balance"), err)
		return
	}
	s.Balance = balance.Settings{Kind: kind, SlowStart: int64(u.SlowStart)}
	switch {
	case u.Balance.Hash != nil:
		s.Balance.Bound = hashBound
		by := u.Balance.Hash.By
		s.Key = upstream.Key{Source: keySources[by.Source], Name: by.Name}
	case u.Balance.Sticky != nil:
		s.Balance.Otherwise = balance.LeastRequests
		sticky := u.Balance.Sticky
		s.Key = upstream.Key{Source: upstream.CookieKey, Name: sticky.Cookie, Sticky: true, TTL: sticky.TTL.Std()}
	}
}

var keySources = map[string]upstream.KeySource{"client_ip": upstream.ClientKey, "header": upstream.HeaderKey, "cookie": upstream.CookieKey}

func (k *compiler) health(u *config.Upstream, s *upstream.Settings) {
	s.Health = health.Settings{Rise: 1, Fall: 1}
	if e := &u.Ejection; !e.Off {
		s.Health.Failures = e.ConsecutiveErrors
		s.Health.EjectBase, s.Health.EjectMax = e.Base.Std(), e.Max.Std()
		s.Health.MaxShare = int(e.MaxShare)
	}
	if h := u.Health; h != nil {
		s.Health.Rise, s.Health.Fall = h.Rise, h.Fall
		s.Check = &health.Check{
			Every:    h.Every.Std(),
			Timeout:  h.Timeout.Std(),
			TCP:      h.TCP,
			Path:     h.Path,
			Host:     h.Host,
			Contains: h.Body,
		}
		for _, r := range h.Status {
			s.Check.Expect = append(s.Check.Expect, health.Statuses{From: r.From, To: r.To})
		}
		grpc(h, s.Check)
		k.refused(h.Node, s.Check.Valid())
	}
	k.refused(u.Ejection.Node, s.Health.Check())
}

// grpc makes a probe one of gRPC.
func grpc(h *config.Health, c *health.Check) {
	if h.GRPC == nil {
		return
	}
	c.GRPC = true
	if h.GRPC.Service != "any" {
		c.Service = h.GRPC.Service
	}
}

func (k *compiler) breaker(u *config.Upstream, s *upstream.Settings) {
	b := u.Breaker
	out := &breaker.Settings{
		ConsecutiveErrors: b.ConsecutiveErrors,
		ErrorRatio:        b.ErrorRatio.Fraction(),
		Window:            b.Window.Std(),
		MinVolume:         b.MinRequests,
		MaxActive:         b.MaxActive,
		Cooldown:          b.Cooldown.Std(),
		MaxCooldown:       b.MaxCooldown.Std(),
		Jitter:            breakerJitter,
		Probes:            b.Probes,
		Successes:         b.Probes,
		ProbeTimeout:      probeTimeout,
	}
	if b.SlowCall > 0 {
		out.SlowCall, out.SlowRatio = b.SlowCall.Std(), b.SlowRatio.Fraction()
	}
	// A probe may take as long as any request may until its answer begins; else an upstream that is slow would never be back.
	if t := u.Timeouts; t.FirstByte > 0 {
		out.ProbeTimeout = t.Connect.Std() + t.FirstByte.Std()
	}
	s.Breaker, s.BreakerErrors = out, statuses(b.Errors)
	k.refused(b.Node, out.Check())
}

func (k *compiler) retry(u *config.Upstream, s *upstream.Settings) {
	r := &u.Retry
	s.Retry = retry.Rules{
		MaxAttempts:   r.Attempts + 1,
		Statuses:      statuses(r.Statuses),
		Base:          retryBase,
		MaxWait:       retryMaxWait,
		MaxRetryAfter: retryMaxAfter,
	}
	s.Budget = retry.Share{PerRequest: r.Budget.Fraction(), PerSecond: float64(r.MinPerSecond)}
	at := r.Node
	if at.IsZero() {
		at = u.Node
	}
	k.refused(at, s.Retry.Check())
	k.refused(at, s.Budget.Check())
}

// statuses writes ranges out.
func statuses(ranges []config.StatusRange) []int {
	var out []int
	for _, r := range ranges {
		for status := r.From; status <= r.To; status++ {
			out = append(out, status)
		}
	}
	return out
}

// host reads a host setting; empty leaves it to others.
func host(text string) upstream.Host {
	switch text {
	case "":
		return upstream.Host{}
	case "keep":
		return upstream.Host{Mode: upstream.HostKept}
	case "endpoint":
		return upstream.Host{Mode: upstream.HostEndpoint}
	}
	return upstream.Host{Mode: upstream.HostFixed, Value: text}
}

// unlimited stands for "no limit" on a route whose upstream has one: 0 would mean the upstream's.
const unlimited = 100 * 365 * 24 * time.Hour

// override is what a route sets in place of its upstream's, nil for nothing.
func override(t *config.RouteTimeouts) *upstream.Timeouts {
	out := &upstream.Timeouts{}
	for _, pair := range []struct {
		to   *time.Duration
		from *document.Duration
	}{{&out.FirstByte, t.FirstByte}, {&out.Idle, t.Idle}, {&out.Exchange, t.Exchange}, {&out.Try, t.Try}} {
		if pair.from == nil {
			continue
		}
		if *pair.to = pair.from.Std(); *pair.to == 0 {
			*pair.to = unlimited
		}
	}
	if *out == (upstream.Timeouts{}) {
		return nil
	}
	return out
}
