package main

import (
	"slices"
	"strings"

	"straum.dev/straum/internal/edge/listen"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/internal/observe/metrics"
)

// sources are the numbers that the parts keep and the metrics show.
func (g *gateway) sources() metrics.Sources {
	return metrics.Sources{
		Listeners: func() []metrics.Listener { return listenerNumbers(g.listeners.Stats(), &g.doors.streams) },
		Upstreams: func() []metrics.Upstream { return upstreamNumbers(g.upstreams.Stats()) },
		TLS:       g.secure.numbers,
		Cache:     g.caches.numbers,
		Box:       g.box.numbers,
		Config:    g.configNumbers,
		Log:       g.logNumbers,
		Figures: func(yield func(metrics.Figure)) {
			g.world.figures(yield)
			g.bans.figures(yield)
		},
	}
}

// listenerNumbers adds up those of one name: an address that was changed has two listeners until the old one is drained.
func listenerNumbers(all []listen.Stats, streams *streamCounts) []metrics.Listener {
	slices.SortStableFunc(all, func(a, b listen.Stats) int { return strings.Compare(a.Name, b.Name) })
	var out []metrics.Listener
	for _, s := range all {
		if len(out) == 0 || out[len(out)-1].Name != s.Name {
			out = append(out, metrics.Listener{Name: s.Name, Refused: []metrics.Count{
				{Reason: "client_limit"}, {Reason: "proxy_header"}, {Reason: "evicted"}, {Reason: "idle_timeout"}, {Reason: "banned"},
			}, HTTP2: streams.numbers(s.Name)})
		}
		l := &out[len(out)-1]
		l.Open += int(s.Open)
		l.Parked += s.Parked
		l.Accepted += s.Accepted
		for i, n := range []uint64{s.RefusedClient, s.ProxyErrors, s.Evicted, s.Expired, s.Dropped} {
			l.Refused[i].N += n
		}
		addHandshakes(l, &s)
	}
	return out
}

// addHandshakes adds those of a listener that speaks TLS, or did.
func addHandshakes(l *metrics.Listener, s *listen.Stats) {
	spoke := s.HandshakeCeiling > 0
	for _, n := range s.Handshakes {
		spoke = spoke || n > 0
	}
	if !spoke {
		return
	}
	if l.Handshakes == nil {
		l.Handshakes = make([]metrics.Count, len(s.Handshakes))
	}
	for o, n := range s.Handshakes {
		l.Handshakes[o].Reason = listen.Outcome(o).String()
		l.Handshakes[o].N += n
	}
	l.HandshakesNow += s.HandshakesUnderWay
	l.HandshakeCeiling += s.HandshakeCeiling
}

func upstreamNumbers(all []upstream.Stats) []metrics.Upstream {
	out := make([]metrics.Upstream, len(all))
	for i, s := range all {
		u := metrics.Upstream{Name: s.Name}
		if s.Breaker != nil {
			u.Breaker = s.Breaker.State.String()
		}
		for _, e := range s.Endpoints {
			u.Queue += int(e.Waiting)
			u.Endpoints = append(u.Endpoints, metrics.Endpoint{Address: e.Address, Healthy: e.Health != "unhealthy", Ejected: e.Ejected,
				Active: int(e.Active), Idle: e.Idle, Streams: e.Streams})
		}
		out[i] = u
	}
	return out
}

func (g *gateway) configNumbers() metrics.Config {
	s := g.revisions.State()
	c := metrics.Config{LastOK: s.LastError == nil, Failures: s.Refused}
	if r := s.InForce; r != nil {
		c.Revision, c.Loaded = uint64(r.Number), r.Accepted
	}
	return c
}

func (g *gateway) logNumbers() metrics.Log {
	s := g.access.Stats()
	return metrics.Log{Written: s.Written, Bytes: s.Bytes, Waiting: s.Waiting, LostMatter: s.Lost.Matter, Failures: s.Failures, Failing: s.Failing,
		Lost: []metrics.Count{{Reason: "slow", N: s.Lost.Slow}, {Reason: "failing", N: s.Lost.Failing}, {Reason: "closed", N: s.Lost.Closed}}}
}
