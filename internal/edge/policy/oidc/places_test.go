package oidc

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policytest"
)

func TestPlaces(t *testing.T) {
	p := newPlaces()
	f := func(client string, want bool) {
		t.Helper()
		address, _ := netip.ParseAddr(client)
		if got := p.redeem(address); got != want {
			t.Errorf("%q: %v", client, got)
		}
	}
	for range maxRedeemingBy {
		f("2001:db8:1:2::1", true)
	}
	f("2001:db8:1:2:3::1", false)
	f("2001:db8:1:3::1", true)
	for range maxRedeemingBy {
		f("192.0.2.1", true)
	}
	f("::ffff:192.0.2.1", false)
	for range maxRedeemingBy + 1 {
		f("", true) // a client without an address is like all others of its kind
	}
	for i := p.redeeming; i < maxRedeeming; i++ {
		f(fmt.Sprint("192.0.3.", i), true)
	}
	f("192.0.4.1", false)
	f("", false)
	for range maxRenewing {
		if !p.renew() {
			t.Fatal("codes keep renewals away")
		}
	}
	if p.renew() {
		t.Error("more renewals than allowed")
	}
	p.leaveRedeem(netip.MustParseAddr("192.0.2.1"))
	f("192.0.4.1", true)
	p.leaveRedeem(netip.MustParseAddr("192.0.4.1"))
	f("::ffff:192.0.2.1", true)
	for range maxRedeemingBy {
		p.leaveRedeem(netip.MustParseAddr("192.0.2.1"))
	}
	if _, there := p.by[network(netip.MustParseAddr("192.0.2.1"))]; there {
		t.Error("a network that is gone is remembered")
	}
}

// An answer that finds no place is good a moment later.
func TestBusy(t *testing.T) {
	b := setup(t, "")
	target := "/.straum/oidc/callback?" + b.provider.arrive(location(b.ask("/page", page))).Encode()
	for range maxRedeemingBy {
		b.login.places.redeem(b.Conn.Peer.Addr())
	}
	x := b.ask(target, page)
	if x.Response.Status != 503 || x.Fault.Kind != fault.AuthUnavailable || word(x) != "busy" || x.Fault.RetryAfter == 0 {
		t.Errorf("got %d, %v, %s", x.Response.Status, x.Fault, word(x))
	}
	b.login.places.leaveRedeem(b.Conn.Peer.Addr())
	for range 2 * maxRedeeming { // each gives its place back
		b.send("/.straum/oidc/callback?state=ABCDEFGHIJ&code=x")
	}
	if x := b.ask(target, page); x.Response.Status != 302 || location(x) != "/page" {
		t.Errorf("got %d, %v, %s", x.Response.Status, x.Fault, word(x))
	}
}

// However many strangers come back with codes of nobody, sessions are renewed, though all go to one host.
func TestStrangers(t *testing.T) {
	const strangers = 120
	b := setup(t, "timeout: 30s\nscopes: [openid, offline_access]\nforward: access_token")
	events, open := make(chan bool, strangers), make(chan struct{})
	t.Cleanup(func() { close(open) })
	b.provider.rest = true
	b.provider.hold = func(form url.Values) {
		if form.Get("code") == "nobody's" {
			events <- true
			<-open
		}
	}
	b.logIn("/")
	// Another client at the same provider takes the places, too.
	other := b.world.Policies(policytest.Use{Kind: Kind, YAML: "issuer: " + b.provider.URL + "\nclient_id: another\ntimeout: 30s\ncookie: other"})
	other.Scheme = "https"
	for i := range strangers {
		chain := []*policytest.Running{b.Running, other}[i%2]
		x := chain.Request("GET /x HTTP/1.1\r\nHost: app.example.com\r\n" + page)
		chain.Chain.Request(x)
		chain.Chain.Response(x)
		line, _ := x.Response.Header.Get(exchange.SetCookie)
		cookie, _, _ := strings.Cut(line, ";")
		to, err := url.Parse(location(x))
		if err != nil || cookie == "" {
			t.Fatalf("not sent to log in: %v", x.Fault)
		}
		back := chain.Request("GET /.straum/oidc/callback?code=nobody's&state=" + to.Query().Get("state") + " HTTP/1.1\r\nHost: app.example.com\r\nCookie: " + cookie)
		back.Client = netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		go func() {
			chain.Chain.Request(back)
			select {
			case <-open:
			default:
				events <- false
			}
		}()
	}
	held := 0
	for range strangers {
		if <-events {
			held++
		}
	}
	if held != maxRedeeming {
		t.Errorf("%d strangers are at the provider", held)
	}
	b.shift = 11 * time.Minute // the token is over
	if x := b.ask("/api"); x.Caller.Subject != "alice" || x.Verdicts[0].Word != "renewed" {
		t.Errorf("a session is not renewed: %v, %v", x.Verdicts, x.Fault)
	}
}
