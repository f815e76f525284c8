package main

import (
	"straum.dev/straum/internal/control/compile"
	"straum.dev/straum/internal/edge"
	"straum.dev/straum/internal/edge/greet"
	"straum.dev/straum/internal/edge/listen"
	"straum.dev/straum/internal/edge/wire/http1"
	"straum.dev/straum/internal/edge/wire/http2"
)

// doors puts the edge behind the listeners.
type doors struct {
	listeners *listen.Set
	edge      *edge.Edge
	secure    *secure
	bans      *bans
	streams   streamCounts
	edges     map[string]*edge.Listener // by address, which is a listener's identity
}

// Apply implements revision.Listeners.
func (d *doors) Apply(c *compile.Compiled) error {
	ways, err := d.secure.listeners(c)
	if err != nil {
		return err
	}
	settings := make([]listen.Settings, len(c.Listeners))
	handlers := make(map[string]listen.Handler, len(c.Listeners))
	edges := make(map[string]*edge.Listener, len(c.Listeners))
	for i := range c.Listeners {
		l := &c.Listeners[i]
		settings[i] = l.Listen
		settings[i].TLS, settings[i].Rules = ways[i].tls, ways[i].rules
		one := d.edges[l.Listen.Address]
		if one == nil {
			one = d.edge.Listener(d.rules(l))
		}
		edges[l.Listen.Address] = one
		handlers[l.Listen.Name] = &greet.Handler{HTTP1: http1Settings(&l.HTTP1), HTTP2: d.http2Settings(l), Flow: one}
	}
	if err := d.listeners.Apply(settings, handlers); err != nil {
		return err
	}
	for i := range c.Listeners { // for connections that are open, too: a proxy that is not trusted any more is not believed any more
		l := &c.Listeners[i]
		edges[l.Listen.Address].Use(d.rules(l))
	}
	d.edges = edges
	d.bans.use(c)
	return nil
}

// rules are what the flow is told of a listener.
func (d *doors) rules(l *compile.Listener) edge.ListenerSettings {
	return edge.ListenerSettings{Trusted: l.Trusted, HSTS: l.HSTS, Redirect: l.Redirect, Challenge: d.secure.challenge()}
}

func http1Settings(h *compile.HTTP1) *http1.Settings {
	halfClosed := map[string]http1.HalfClosed{"auto": http1.AutoHalfClose, "serve": http1.ServeHalfClosed, "cancel": http1.CancelHalfClosed}
	return &http1.Settings{
		Limits:     http1.Limits{RequestLine: h.RequestLine, HeaderBytes: h.HeaderBytes, HeaderCount: h.HeaderCount, Body: h.Body},
		Timeouts:   http1.Timeouts{Header: h.Header, Progress: h.Progress, TunnelIdle: h.TunnelIdle, MinRate: h.MinRate},
		HalfClosed: halfClosed[h.HalfClosed],
	}
}

func (d *doors) http2Settings(l *compile.Listener) *http2.Settings {
	if l.HTTP2.Off {
		return nil
	}
	h := &l.HTTP1
	return &http2.Settings{
		Limits:   http2.Limits{HeaderBytes: h.HeaderBytes, HeaderCount: h.HeaderCount, Target: h.RequestLine, Body: h.Body},
		Timeouts: http2.Timeouts{Header: h.Header, Progress: h.Progress, TunnelIdle: h.TunnelIdle, MinRate: h.MinRate},
		Streams:  l.HTTP2.Streams,
		Stats:    d.streams.get(l.Listen.Name),
	}
}
