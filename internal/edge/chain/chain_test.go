package chain

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
)

// marker is a policy that leaves a mark in every step it takes part in.
type marker struct {
	mark string
	to   *[]string
	stop bool // answers in step 4
}

type (
	request  struct{ *marker }
	shared   struct{ *marker }
	response struct{ *marker }
	every    struct {
		request
		shared
		response
	}
)

func (m request) Request(x *exchange.Exchange) {
	*m.to = append(*m.to, "4 "+m.mark)
	if m.stop {
		x.Respond(200, "", nil)
	}
}
func (m shared) UpstreamResponse(*exchange.Exchange) { *m.to = append(*m.to, "8 "+m.mark) }
func (m response) Response(*exchange.Exchange)       { *m.to = append(*m.to, "9 "+m.mark) }

// text is the options of a marker: how it is marked.
type text string

func (o text) Decode(into any) error {
	if o == "bad" {
		return errors.New("bad options")
	}
	*into.(*string) = string(o)
	return nil
}
func (text) Errorf(_, format string, args ...any) error { return fmt.Errorf(format, args...) }

// kinds are three policies in running order: a takes part in all steps, b in 4, c in 9.
func kinds(to *[]string) []policy.Kind {
	kind := func(name string, make func(*marker) any) policy.Kind {
		return policy.Kind{Name: name, Options: "", Build: func(o policy.Options) (any, error) {
			var mark string
			if err := o.Decode(&mark); err != nil {
				return nil, err
			}
			return make(&marker{mark: mark, to: to, stop: mark == "stop"}), nil
		}}
	}
	return []policy.Kind{
		kind("a", func(m *marker) any { return every{request{m}, shared{m}, response{m}} }),
		kind("b", func(m *marker) any { return request{m} }),
		kind("c", func(m *marker) any { return response{m} }),
		kind("none", func(m *marker) any { return m }),
	}
}

func uses(list string) (out []Use) {
	for use := range strings.FieldsSeq(list) {
		name, options, _ := strings.Cut(use, "=")
		out = append(out, Use{Name: name, Options: text(options), Off: options == "off"})
	}
	return out
}

// The order is the list's, not the configuration's; a route's own policy takes the place of the one of that name on every route.
func TestCompile(t *testing.T) {
	f := func(everywhere, own, want string) {
		t.Helper()
		var marks []string
		c, err := Compile(kinds(&marks), uses(everywhere), uses(own))
		if err != nil {
			if got := err.Error(); got != want {
				t.Errorf("%s + %s: %q, want %q", everywhere, own, got, want)
			}
			return
		}
		x := &exchange.Exchange{}
		x.Begin(&exchange.Conn{}, 1)
		c.Request(x)
		if !x.Answered() {
			c.UpstreamResponse(x)
		}
		c.Response(x)
		if got := strings.Join(marks, ", "); got != want {
			t.Errorf("%s + %s: %q, want %q", everywhere, own, got, want)
		}
	}
	f("", "", "")
	f("a=1", "", "4 1, 8 1, 9 1")
	f("c=3 b=2 a=1", "", "4 1, 4 2, 8 1, 9 1, 9 3")
	f("", "c=3 b=2 a=1", "4 1, 4 2, 8 1, 9 1, 9 3")
	f("b=2", "a=1", "4 1, 4 2, 8 1, 9 1")
	f("a=1 b=2", "a=own", "4 own, 4 2, 8 own, 9 own")
	// One that answers ends step 4; step 9 runs all the same.
	f("a=stop b=2 c=3", "", "4 stop, 9 stop, 9 3")
	f("a=1 x=1 y=2", "", "there is no policy x; there are a, b, c, none")
	f("", "zz=1", "there is no policy zz; there are a, b, c, none")
	f("a=1 a=2", "", "the policy a is here twice; remove one")
	f("a=1", "b=2 b=2", "the policy b is here twice; remove one")
	f("a=bad", "", "bad options")
	// Off takes one on every route away, and is a mistake anywhere else.
	f("a=1 b=2", "a=off", "4 2")
	f("a=1", "b=off", "the policy b is off here and not on every route; remove this line")
	f("a=off", "", "the policy a is off here and not on every route; remove this line")
	f("a=bad", "a=good", "4 good, 8 good, 9 good") // what is replaced is not built
}

func TestPolicyWithoutStep(t *testing.T) {
	defer func() {
		if p := recover(); p == nil || !strings.HasPrefix(p.(string), "BUG: policy none") {
			t.Errorf("%v", p)
		}
	}()
	_, err := Compile(kinds(new([]string)), uses("none=1"), nil)
	t.Errorf("built, %v", err)
}

// A fault ends step 4 as an answer does.
func TestFaultEndsRequestPolicies(t *testing.T) {
	var marks []string
	c, err := Compile(kinds(&marks), uses("a=1 b=2"), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Requests = slices.Insert(c.Requests, 1, policy.Request(failing{}))
	x := &exchange.Exchange{}
	x.Begin(&exchange.Conn{}, 1)
	c.Request(x)
	if got := strings.Join(marks, ", "); got != "4 1" {
		t.Errorf("%q", got)
	}
}

func (text) Scope() string { return "test" }

func (text) Upstream(string, string) error { return nil }

func (text) Beside(path string) string { return path }
