package oidc

import (
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
)

// other is another method of the route, which does as the field X-Other says.
type other struct{}

func (other) Authenticate(x *exchange.Exchange) policy.Finding {
	switch said, _ := x.Request.Header.Header("X-Other"); said {
	case "good":
		return policy.Accepted
	case "bad":
		return policy.Refused
	}
	return policy.Nothing
}

func (other) Serve(x *exchange.Exchange) {
	if said, _ := x.Request.Header.Header("X-Other"); said == "down" {
		x.Fail(fault.New(fault.AuthUnavailable, nil))
	}
}

func (other) Challenge(x *exchange.Exchange, _ policy.Finding) {
	x.Challenges = append(x.Challenges, "Other")
}

func (other) Hide(*exchange.Exchange, policy.Finding) {}

// among sets a bench up with another method, which is asked first.
func among(t *testing.T, all bool) *bench {
	b := setup(t, "")
	b.bind("", policytest.Use{Kind: policy.Kind{Name: "authenticate", Build: func(policy.Options) (any, error) { return &policy.Terms{All: all}, nil }}, YAML: "{}"},
		policytest.Use{Kind: policy.Kind{Name: "other", Build: func(policy.Options) (any, error) { return other{}, nil }}, YAML: "{}"})
	return b
}

// Whatever a browser shows besides, it is sent to log in once at most: with a session it gets its page, or is told that it is not enough.
func TestAmong(t *testing.T) {
	for _, c := range []struct {
		all               bool
		other             string
		without, loggedIn int // status of a page before and after a login
	}{
		{false, "", 302, 200},
		{false, "good", 200, 200},
		{false, "bad", 401, 200},
		{true, "", 302, 401},
		{true, "good", 302, 200},
		{true, "bad", 401, 401},
	} {
		b := among(t, c.all)
		field := "X-Other: " + c.other
		if x := b.send("/page", page, field); x.Response.Status != c.without || (location(x) != "") != (c.without == 302) {
			t.Errorf("all %v, %q, without a session: %d, want %d; %v", c.all, c.other, x.Response.Status, c.without, x.Verdicts)
		}
		b.logIn("/page")
		x := b.send("/page", page, field)
		if x.Response.Status != c.loggedIn || location(x) != "" {
			t.Errorf("all %v, %q, with a session: %d, want %d; %v", c.all, c.other, x.Response.Status, c.loggedIn, x.Verdicts)
		}
		if c.loggedIn == 401 && strings.Join(x.Challenges, " ") != "Other "+b.login.set.challenge {
			t.Errorf("all %v, %q: challenges %q", c.all, c.other, x.Challenges)
		}
	}
}

// A method that was not asked knows of no session, and sends nobody to get one.
func TestUnasked(t *testing.T) {
	b := setup(t, "")
	for finding, want := range map[policy.Finding]bool{policy.Unasked: false, policy.Nothing: true, policy.Accepted: false, policy.Refused: false} {
		x := b.Request("GET / HTTP/1.1\r\nHost: app.example.com\r\n" + page)
		if b.login.Challenge(x, finding); x.Answered() != want || (len(x.Challenges) == 1) == want {
			t.Errorf("finding %d: answered %v, %q", finding, x.Answered(), x.Challenges)
		}
	}
}

// The paths of the policy are its own, whoever else accepts or does not.
func TestOwnPaths(t *testing.T) {
	for _, all := range []bool{false, true} {
		for _, said := range []string{"", "good", "bad"} {
			b := among(t, all)
			field := "X-Other: " + said
			x := b.ask("/.straum/oidc/login?to=/there", page, field)
			if x.Response.Status != 302 {
				t.Fatalf("all %v, %q: login gives %d", all, said, x.Response.Status)
			}
			x = b.ask("/.straum/oidc/callback?"+b.provider.arrive(location(x)).Encode(), page, field)
			if x.Response.Status != 302 || location(x) != "/there" || x.Request.Query != "" {
				t.Errorf("all %v, %q: callback gives %d, %q, %v", all, said, x.Response.Status, location(x), x.Verdicts)
			}
			if x = b.ask("/.straum/oidc/logout", "Sec-Fetch-Site: none", field); x.Response.Status != 302 || len(b.jar) != 0 {
				t.Errorf("all %v, %q: logout gives %d, %v", all, said, x.Response.Status, b.order)
			}
		}
	}
}

// A code is kept from logs even if somebody else ends the request.
func TestConcealed(t *testing.T) {
	b := among(t, false)
	if x := b.send("/.straum/oidc/callback?code=secret&state=ABCDEFGHIJ", "X-Other: down"); x.Fault == nil || x.Fault.Kind != fault.AuthUnavailable || x.Request.Query != "" {
		t.Errorf("%v; logs are told %q", x.Fault, x.Request.Query)
	}
	if x := b.send("/page?code=mine", "X-Other: good"); x.Request.Query != "code=mine" {
		t.Errorf("another page loses its query: %q", x.Request.Query)
	}
}
