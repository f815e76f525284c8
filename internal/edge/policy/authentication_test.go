package policy

import (
	"fmt"
	"strings"
	"testing"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// method is an authenticator that does what a field of the request called like it says: "ok", "ok acme", "bad", "short", "down", "answer".
type method string

func (m method) Authenticate(x *exchange.Exchange) Finding {
	word, ok := x.Request.Header.Header(string(m))
	if !ok {
		return Nothing
	}
	word, who, _ := strings.Cut(word, " ")
	switch word {
	case "bad":
		return Refused
	case "short":
		return Short
	case "down":
		x.Fail(fault.New(fault.AuthUnavailable, nil))
		return Nothing
	case "answer":
		x.Respond(302, "", nil)
		return Nothing
	}
	x.Caller.Subject = "by " + string(m)
	if who != "" {
		x.Caller.Consumer = &consumer.Consumer{ID: who, Name: who}
	}
	return Accepted
}

func (m method) Challenge(x *exchange.Exchange, found Finding) {
	if m == "login" && found != Short {
		x.Respond(302, "", nil)
		return
	}
	x.Challenges = append(x.Challenges, string(m)+" "+[...]string{"unasked", "nothing", "accepted", "refused", "short"}[found])
}

func (m method) Hide(x *exchange.Exchange, _ Finding) { x.Request.Header.DelHeader(string(m)) }

// TestAuthentication: what becomes of a request by what it shows and by the terms of its route.
func TestAuthentication(t *testing.T) {
	guest := &consumer.Consumer{ID: "guest", Name: "Guest", GroupList: "public", Plan: &consumer.Plan{Name: "free"}}
	anyOf, allOf, anonymous := &Terms{}, &Terms{All: true}, &Terms{Anonymous: guest}
	allAnonymous := &Terms{All: true, Anonymous: guest}
	f := func(methods string, terms *Terms, shown, want string) {
		t.Helper()
		c := &Chain{}
		if terms != nil {
			c.Add("authenticate", terms)
		}
		for name := range strings.FieldsSeq(methods) {
			c.Add(name, method(name))
		}
		x := &exchange.Exchange{}
		x.Begin(&exchange.Conn{}, 1)
		for field := range strings.SplitSeq(shown, ", ") {
			if name, value, ok := strings.Cut(field, "="); ok {
				x.Request.Header.Add(name, value)
			}
		}
		c.Request(x)
		var got []string
		switch {
		case x.Fault != nil:
			got = append(got, x.Fault.Kind.Word)
		case x.Answered():
			got = append(got, fmt.Sprint(x.Response.Status))
		default:
			got = append(got, "by", x.Caller.Method)
		}
		if x.Signals != 0 {
			got = append(got, "signal", fmt.Sprint(uint8(x.Signals)))
		}
		got = append(got, x.Challenges...)
		for _, field := range x.Request.Header.All() {
			got = append(got, field.Name+"="+field.Value)
		}
		if (x.Fault != nil || x.Answered()) && (x.Caller.Method != "" || x.Caller.Consumer != nil) {
			t.Errorf("somebody was refused and is known as %+v", x.Caller)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s %+v %s:\n%s, want\n%s", methods, terms, shown, s, want)
		}
	}
	// One method.
	f("a", nil, "", "unauthenticated a nothing")
	f("a", nil, "a=bad", "unauthenticated signal 1 a refused a=bad")
	f("a", nil, "a=ok", "by a X-Auth-Method=a X-Auth-Subject=by a")
	f("a", nil, "a=ok acme", "by a X-Consumer-Id=acme X-Consumer-Name=acme X-Auth-Method=a X-Auth-Subject=by a")
	f("a", nil, "a=down", "auth_unavailable a=down")
	f("a", nil, "a=answer", "302 a=answer")
	f("a", &Terms{Silent: true}, "a=ok acme", "by a")
	// Any of several: the first that accepts counts, and none of what was shown goes on.
	f("a b", anyOf, "", "unauthenticated a nothing b nothing")
	f("a b", anyOf, "b=ok", "by b X-Auth-Method=b X-Auth-Subject=by b")
	f("a b", anyOf, "a=bad, b=ok", "by b X-Auth-Method=b X-Auth-Subject=by b")
	f("a b", anyOf, "a=ok, b=bad", "by a X-Auth-Method=a X-Auth-Subject=by a")
	f("a b", anyOf, "a=bad, b=bad", "unauthenticated signal 1 a refused b refused a=bad b=bad")
	f("a b", anyOf, "a=down, b=ok", "auth_unavailable a=down b=ok")
	f("a login", anyOf, "", "302 a nothing")
	// A good credential that is not enough stops no other method, and decides the answer when none accepts.
	f("a", nil, "a=short", "forbidden signal 2 a short a=short")
	f("a b", anyOf, "a=short, b=ok", "by b X-Auth-Method=b X-Auth-Subject=by b")
	f("a b", anyOf, "a=short", "forbidden signal 2 a short a=short")
	f("a b", anyOf, "a=bad, b=short", "forbidden signal 3 b short a=bad b=short")
	f("login a", anyOf, "a=short", "forbidden signal 2 a short a=short")
	f("a b", anonymous, "a=short", "forbidden signal 2 a short a=short")
	f("a b", allOf, "a=short, b=ok", "forbidden signal 2 a short a=short b=ok")
	f("a b", allOf, "b=short", "forbidden signal 2 b short b=short")
	// All of several: consumers must be one and the same.
	f("a b", allOf, "a=ok, b=ok acme", "by a X-Consumer-Id=acme X-Consumer-Name=acme X-Auth-Method=a X-Auth-Subject=by a")
	f("a b", allOf, "a=ok acme, b=ok acme", "by a X-Consumer-Id=acme X-Consumer-Name=acme X-Auth-Method=a X-Auth-Subject=by a")
	f("a b", allOf, "a=ok acme, b=ok other", "unauthenticated signal 1 a accepted b refused a=ok acme b=ok other")
	f("a b", allOf, "a=ok", "unauthenticated a accepted b nothing a=ok")
	f("a b", allOf, "b=ok", "unauthenticated a nothing b accepted b=ok")
	f("a b", allOf, "a=ok, b=bad", "unauthenticated signal 1 a accepted b refused a=ok b=bad")
	f("a b", allOf, "", "unauthenticated a nothing b nothing")
	// Anonymous is for those who show nothing.
	const as = "by  X-Consumer-Id=guest X-Consumer-Name=Guest X-Consumer-Groups=public X-Consumer-Plan=free X-Anonymous-Consumer=true"
	f("a b", anonymous, "", as)
	f("a b", anonymous, "b=bad", "unauthenticated signal 1 a nothing b refused b=bad")
	f("a b", anonymous, "b=ok", "by b X-Auth-Method=b X-Auth-Subject=by b")
	f("a b", allAnonymous, "", as)
	f("a b", allAnonymous, "b=ok", "unauthenticated a nothing b accepted b=ok")
	// Terms on every route do nothing on one without a method.
	f("", anonymous, "", "by ")
}

// binder is a policy that needs the world.
type binder struct {
	fails bool
	bound any
}

func (b *binder) Bind(*World) (any, error) {
	if b.fails {
		return nil, fmt.Errorf("the file is not there")
	}
	return b.bound, nil
}

// TestBind: what binds takes the place it was added at, also among those that authenticate.
func TestBind(t *testing.T) {
	c := &Chain{}
	c.Add("a", &binder{bound: method("a")})
	c.Add("b", method("b"))
	c.Add("authenticate", &binder{bound: &Terms{}})
	bound, err := c.Bind(&World{})
	if err != nil {
		t.Fatal(err)
	}
	x := &exchange.Exchange{}
	x.Begin(&exchange.Conn{}, 1)
	bound.Request(x)
	if got := strings.Join(x.Challenges, " "); got != "a nothing b nothing" {
		t.Errorf("%q", got)
	}
	if again, _ := bound.Bind(&World{}); again != bound {
		t.Error("a bound chain was bound again")
	}
	func() { // one that would never run must not pass for one that lets everybody in
		defer func() {
			if recover() == nil {
				t.Error("what binds to a binder was bound")
			}
		}()
		twice := &Chain{}
		twice.Add("a", &binder{bound: &binder{bound: method("a")}})
		_, _ = twice.Bind(&World{})
	}()
	c.Add("c", &binder{fails: true})
	if _, err := c.Bind(&World{}); err == nil {
		t.Error("bound")
	}
}

// thing is something held.
type lasting struct{ log *[]string }

func (h lasting) Start() { *h.log = append(*h.log, "start") }
func (h lasting) Stop()  { *h.log = append(*h.log, "stop") }

// TestState: a thing lives as long as a revision in force needs it, is started once, and is not started for one that is only judged.
func TestState(t *testing.T) {
	s := NewState()
	var log []string
	use := func(identities ...string) {
		s.Begin()
		for _, id := range identities {
			Hold(s, "thing", id, func() lasting {
				log = append(log, "make "+id)
				return lasting{&log}
			})
		}
	}
	expect := func(want string) {
		t.Helper()
		if got := strings.Join(log, ", "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		log = nil
	}
	use("a", "a")
	s.Start()
	s.Keep()
	expect("make a, start")
	use("a", "b")
	s.Drop() // refused before it took requests
	expect("make b, stop")
	use("a")
	s.Start()
	s.Keep()
	expect("")
	use("c")
	s.Start()
	s.Drop() // refused after
	expect("make c, start, stop")
	use("c")
	s.Start()
	s.Keep()
	expect("make c, start, stop")
	s.Close()
	expect("stop")
}
