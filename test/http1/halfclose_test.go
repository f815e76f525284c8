package http1

import (
	"strings"
	"testing"

	"straum.dev/straum/test/wire"
)

// A client that closes its sending side behind its request: half_closed says what that means.
func TestHalfClosed(t *testing.T) {
	t.Parallel()
	const last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	const open = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	const old = "GET / HTTP/1.0\r\nHost: a\r\n\r\n"
	for _, test := range []struct {
		setting, request string
		served           bool
	}{
		{"serve", last, true},
		{"serve", open, true},
		{"serve", old, true},
		{"auto", last, true},
		{"auto", old, true},
		{"auto", open, false},
		{"cancel", last, false},
		{"cancel", open, false},
	} {
		t.Run(test.setting+" "+strings.ReplaceAll(test.request[:16], "/", "")+map[bool]string{true: "close", false: ""}[strings.Contains(test.request, "close")], func(t *testing.T) {
			t.Parallel()
			arrived, done := make(chan bool), make(chan bool)
			addr := frontBy(t, func(p *wire.Peer, m *wire.Message) bool {
				arrived <- true
				if test.served {
					<-done
					p.Send(wire.OK("served"))
					return true
				}
				p.Gone() // the exchange is cancelled, and its connection ended
				close(done)
				return false
			}, "    half_closed: "+test.setting)
			c := wire.Dial(t, addr)
			c.Send(test.request)
			c.CloseWrite()
			<-arrived
			if !test.served {
				<-done
				if got := c.Gone(); strings.Contains(got, " 200 ") {
					t.Errorf("the client got %q", got)
				}
				return
			}
			done <- true
			if m := c.Answer("GET"); string(m.Body) != "served" {
				t.Errorf("%s%q", m, m.Body)
			}
			c.Ended()
		})
	}
}

// The request and the end of the sending side in one go, answered at once: served whatever the setting.
func TestHalfClosedAtOnce(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{"auto", "serve"} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			addr := frontBy(t, echo, "    half_closed: "+setting)
			for range 20 {
				c := wire.Dial(t, addr)
				c.Send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /y HTTP/1.1\r\nHost: a\r\n\r\n")
				c.CloseWrite()
				if m := c.Answer("POST"); string(m.Body) != "POST /x abc" {
					t.Fatalf("%s%q", m, m.Body)
				}
				if m := c.Answer("GET"); string(m.Body) != "GET /y " {
					t.Fatalf("%s%q", m, m.Body)
				}
				c.Ended()
			}
		})
	}
}

// A client that resets its connection cancels its request whatever the setting.
func TestResetCancels(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{"auto", "serve", "cancel"} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			arrived, gone := make(chan bool), make(chan bool)
			addr := frontBy(t, func(p *wire.Peer, m *wire.Message) bool {
				arrived <- true
				p.Gone()
				gone <- true
				return false
			}, "    half_closed: "+setting)
			c := wire.Dial(t, addr)
			c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			<-arrived
			c.Reset()
			<-gone
		})
	}
}
