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
