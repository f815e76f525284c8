package exchange

import (
	"strings"
	"testing"
)

// TestReserve: names stay reserved for the exchange and no longer, whoever reserves them and how often.
func TestReserve(t *testing.T) {
	x := &Exchange{}
	x.Begin(&Conn{}, 1)
	user, role := NewNames("X-User"), NewNames("X-Role", "X-Team-Name")
	for _, name := range strings.Fields("x-user X_User X-Users Accept x-team_name") {
		x.Request.Header.Add(name, "v")
	}
	for range 3 {
		x.Request.Reserve(user)
		x.Request.Reserve(role)
		x.Request.Reserve(nil)
	}
	var left []string
	for _, f := range x.Request.Header.All() {
		left = append(left, f.Name)
	}
	if got := strings.Join(left, " "); got != "X-Users Accept" {
		t.Errorf("left: %s", got)
	}
	f := func(name string, want bool) {
		t.Helper()
		if got := x.Request.Reserved(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	f("X_USER", true)
	f("X-Team-Name", true)
	f("X-Users", false)
	for range 3 {
		x.Request.Reserve(NewNames("X-More"))
	}
	f("X-Users", true) // more than there is room for: nothing passes
	x.Begin(x.Conn, 2)
	f("X-User", false)
}

// TestBeginning: trailers that begin in a certain way do not go on; of header fields it says nothing.
func TestBeginning(t *testing.T) {
	x := &Exchange{}
	x.Begin(&Conn{}, 1)
	x.Request.Header.Add("X-Internal-A", "v")
	x.Request.Reserve(NewNames().Beginning("X-Internal-"))
	for name, want := range map[string]bool{"x-internal-a": true, "X_INTERNAL_A": true, "X-Internal-": true, "X-Internal": false, "Y-X-Internal-A": false} {
		if x.Request.Reserved(name) != want {
			t.Errorf("%s: reserved is %v", name, !want)
		}
	}
	if x.Request.Header.Len() != 1 {
		t.Error("a header field is gone")
	}
}

// TestSaid: what the client said is what there was before the first change, and is gone with the exchange.
func TestSaid(t *testing.T) {
	x := &Exchange{}
	x.Begin(&Conn{}, 1)
	said := func() string { v, _ := x.Request.Said().Get(Origin); return v }
	x.Request.Header.Add("Origin", "a")
	if said() != "a" {
		t.Errorf("before a change: %q", said())
	}
	x.Request.Change()
	x.Request.Header.Set(Origin, "b")
	x.Request.Change()
	x.Request.Header.Del(Origin)
	if said() != "a" || x.Request.Header.Len() != 0 {
		t.Errorf("after two changes: %q", said())
	}
	x.Begin(x.Conn, 2)
	if said() != "" || x.Request.said.Len() != 0 {
		t.Errorf("the next request: %q", said())
	}
	if n := testing.AllocsPerRun(100, func() {
		x.Begin(x.Conn, 3)
		x.Request.Header.Append(Origin, "Origin", "a")
		x.Request.Change()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
