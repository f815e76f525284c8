package compile

import (
	"time"

	"github.com/gaissmai/bart"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/listen"
)

// Listener is all that one listener is told.
type Listener struct {
	Listen listen.Settings
	// Trusted are the addresses whose forwarding fields are believed; nil for none.
	Trusted *bart.Lite
	HTTP1   HTTP1
	HTTP2   HTTP2
	TLS     *TLS // nil for none
	// HSTS is the value of that field on every response; empty for none.
	HSTS string
	// Redirect is the port of https that every request is sent to; 0 for none.
	Redirect int
}

// HTTP2 are the settings of HTTP/2 that HTTP1 does not have.
type HTTP2 struct {
	Off     bool
	Streams int // at a time on a connection
}

// HTTP1 are the settings of HTTP/1.1 on a listener, in plain values: control takes no part in an exchange and does not know the
// codec.
type HTTP1 struct {
	RequestLine, HeaderBytes, HeaderCount int
	Body                                  int64 // 0 for no limit

	Header, Progress, TunnelIdle time.Duration
	MinRate                      int64 // bytes a second, 0 for none

	HalfClosed string // auto, serve or cancel
}

// fastOpenQueue is how many connections opened by TCP fast open may wait for their handshake, a socket.
const fastOpenQueue = 256

func (k *compiler) listener(l *config.Listener) {
	out := Listener{
		Listen: listen.Settings{
			Name:         l.Name,
			Address:      l.Address.String(),
			Sockets:      l.Sockets,
			Backlog:      l.Backlog,
			MaxConns:     l.Limits.Connections,
			MaxPerClient: l.Limits.ConnectionsPerClient,
			IdleTimeout:  l.Timeouts.Idle.Std(),
		},
		Trusted: networks(l.TrustedProxies),
		HTTP1: HTTP1{
			RequestLine: int(l.Limits.RequestLine),
			HeaderBytes: int(l.Limits.HeaderBytes),
			HeaderCount: l.Limits.HeaderCount,
			Body:        int64(l.Limits.Body),
			Header:      l.Timeouts.Header.Std(),
			Progress:    l.Timeouts.Progress.Std(),
			TunnelIdle:  l.Timeouts.TunnelIdle.Std(),
			MinRate:     int64(l.Timeouts.MinRate),
			HalfClosed:  l.HalfClosed,
		},
		HTTP2:    HTTP2{Off: l.HTTP2.Off, Streams: l.HTTP2.Streams},
		TLS:      k.tls(l),
		Redirect: l.HTTPSRedirect,
	}
	if l.TLS != nil {
		out.HSTS = hsts(l.TLS.HSTS)
	}
	if l.FastOpen && l.Address.Network() == "tcp" {
		out.Listen.FastOpen = fastOpenQueue
	}
	if l.ProxyProtocol != nil {
		out.Listen.Proxy = networks(l.ProxyProtocol.From)
	}
	k.out.Listeners = append(k.out.Listeners, out)
}

// networks is a set of networks, nil for none.
func networks(list []document.Prefix) *bart.Lite {
	if len(list) == 0 {
		return nil
	}
	set := new(bart.Lite)
	for _, p := range list {
		set.Insert(p.Prefix)
	}
	return set
}
