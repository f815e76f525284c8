package exchange

import (
	"strings"
	"testing"
)

// TestKinds holds which names may not travel on, and which may not stand behind the content, against the lists of the standards.
func TestKinds(t *testing.T) {
	hops := names("Connection Keep-Alive Proxy-Connection TE Transfer-Encoding Upgrade") // RFC 9110 §7.6.1
	// RFC 9110 §6.5.1: framing, routing, modifiers of a request, authentication, content and how it is to be handled. And whatever
	// says who asked.
	heads := names("Connection Keep-Alive Proxy-Connection TE Transfer-Encoding Upgrade Content-Length Trailer Host Expect " +
		"Authorization Proxy-Authorization Proxy-Authenticate Cookie Set-Cookie Content-Type Content-Encoding Content-Range " +
		"Cache-Control Location Forwarded X-Forwarded-For X-Forwarded-Host X-Forwarded-Port X-Forwarded-Proto X-Real-IP " + ourNames)
	for k := Other; k < numKnown; k++ {
		if k.HopByHop() != hops[k.String()] || k.MayTrail() == heads[k.String()] {
			t.Errorf("%q: hop by hop %v, may trail %v", k, k.HopByHop(), k.MayTrail())
		}
		if k.HopByHop() && k.MayTrail() {
			t.Errorf("%q is about the connection and may stand in a trailer section", k)
		}
	}
}

// ourNames tell endpoints who calls, so that a client's must not reach them.
const ourNames = "X-Consumer-Id X-Consumer-Name X-Consumer-Groups X-Consumer-Plan X-Auth-Method X-Auth-Subject X-Auth-Scope X-Anonymous-Consumer"

// TestDropOurs: nobody but the gateway says who calls, in whatever case; everything else stays, in order.
func TestDropOurs(t *testing.T) {
	var f Fields
	for _, name := range strings.Fields("Accept x-consumer-id X-AUTH-METHOD Cookie X-Anonymous-Consumer X-Consumer-Idea Date") {
		f.Add(name, "v")
	}
	f.DropOurs()
	var left []string
	for _, field := range f.All() {
		left = append(left, field.Name)
	}
	if got := strings.Join(left, " "); got != "Accept Cookie X-Consumer-Idea Date" {
		t.Errorf("left: %s", got)
	}
	ours := names(ourNames)
	for k := Other; k < numKnown; k++ {
		if k.Ours() != ours[k.String()] {
			t.Errorf("%q: ours %v", k, k.Ours())
		}
	}
}

func names(list string) map[string]bool {
	set := map[string]bool{}
	for _, name := range strings.Fields(list) {
		set[name] = true
	}
	return set
}

// TestShadows takes each known name with every choice of its hyphens turned into underscores.
func TestShadows(t *testing.T) {
	f := func(name string, want bool) {
		t.Helper()
		if got := Shadows(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
	for k := Other + 1; k < numKnown; k++ {
		name := k.String()
		if len(name) > longestShadow {
			t.Errorf("%s is too long to be looked at", name)
		}
		f(name, false)
		f(strings.ReplaceAll(name, "-", "_"), strings.Contains(name, "-"))
		f(strings.ToUpper(strings.Replace(name, "-", "_", 1)), strings.Contains(name, "-"))
		f(name+"_", false)
	}
	f("", false)
	f("_", false)
	f("x_own", false)
	f("transfer__encoding", false)
	f(strings.Repeat("_", longestShadow), false)
	f(strings.Repeat("_", longestShadow+1), false)
}
