package policy

import (
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
)

// What the configuration may change, and what not. The policy headers shows every sort of refusal.
func TestCheckField(t *testing.T) {
	f := func(name string, request, response bool) {
		t.Helper()
		for _, test := range []struct{ response, want bool }{{false, request}, {true, response}} {
			err := CheckField(name, test.response)
			if (err == nil) != test.want {
				t.Errorf("%s, in a response %v: %v", name, test.response, err)
			}
			field := exchange.Field{Name: name, Known: exchange.Lookup(name)}
			if err == nil && Protected(&field, test.response) {
				t.Errorf("%s, in a response %v: may be changed and is protected", name, test.response)
			}
		}
	}
	f("X-A", true, true)
	f("x_a", true, true)
	f("Accept", true, true)
	f("Authorization", true, true)
	f("Set-Cookie", true, true)
	f("Host", false, true)
	f("X-Forwarded-For", false, true)
	f("X_Forwarded_For", false, true)
	f("X-Consumer-Id", false, true)
	f("X-Straum-Attempt", false, true)
	f("Content-Length", false, false)
	f("content-encoding", false, false)
	f("sec-websocket-key", false, false)
	f("", false, false)
	f("X A", false, false)
	f("X:A", false, false)
	f("X\r\nA", false, false)
	f(":path", false, false)
	f("é", false, false)
	f(strings.Repeat("a", longestField), true, true)
	f(strings.Repeat("a", longestField+1), false, false)
	// No field about one connection, and none of ours, can be changed on a request.
	for known := exchange.Known(1); known <= exchange.AccessControlExposeHeaders; known++ {
		if (known.HopByHop() || known.Ours()) && CheckField(known.String(), false) == nil {
			t.Errorf("%s may be changed", known)
		}
	}
}
