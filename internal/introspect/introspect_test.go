package introspect

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/redistest"

	"straum.dev/straum/internal/token"
)

// What goes over the wire (RFC 7662 §2.1).
func TestRequest(t *testing.T) {
	i := newIssuer(t)
	var got atomic.Value
	i.does(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		got.Store(fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header.Get("Content-Type"), " ", r.Header.Get("Accept"), " | ", r.Header.Get("Authorization"), " | ", r.PostForm.Encode()))
		_, _ = w.Write([]byte(`{"active":false}`))
	})
	f := func(s Settings, authorization, form string) {
		t.Helper()
		if w := newGateway(t, i, s, nil).look("a+b/c=="); w != "inactive" {
			t.Error(w)
		}
		want := "POST /introspect application/x-www-form-urlencoded application/json | " + authorization + " | " + form
		if got.Load() != want {
			t.Errorf("%s\nwant\n%s", got.Load(), want)
		}
	}
	const token = "token=a%2Bb%2Fc%3D%3D"
	f(Settings{}, "Basic Z2F0ZSt3YXk6Y2FuYXJ5JTNBc2VjcmV0", token) // gate+way:canary%3Asecret
	f(Settings{Auth: Post, Hint: "access_token"}, "", "client_id=gate+way&client_secret=canary%3Asecret&"+token+"&token_type_hint=access_token")
	f(Settings{Auth: Bearer, Token: "own"}, "Bearer own", token)
	f(Settings{Auth: None}, "", token)
}

func TestAnswers(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := Settings{URL: &url.URL{}}.filled()
	f := func(body, want string) {
		t.Helper()
		a, err := s.read([]byte(body), now)
		got := ""
		switch {
		case err != nil:
			got = "! " + strings.TrimPrefix(err.Error(), "the introspection endpoint is not available: its answer ")
		case !a.Active:
			got = fmt.Sprint(a.Why, " ", time.Duration(a.until-now.UnixNano()))
		default:
			got = fmt.Sprint("active ", time.Duration(a.until-now.UnixNano()))
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
	f(`{"active":true}`, "active 1m0s")
	f(`{"active":false}`, "inactive 5s")
	f(`{"active":false,"exp":"soon"}`, "inactive 5s")
	// Only true is true.
	for _, v := range []string{`"true"`, `1`, `null`, `{}`, `[true]`} {
		f(`{"active":`+v+`}`, "! has no active")
	}
	f(`{}`, "! has no active")
	f(`{"Active":true}`, "! has no active")
	f(`{"active":false,"active":true}`, "! is not a JSON object")
	for _, body := range []string{``, `true`, `[]`, `{"active":true`, `{"active":true}x`, `<html>`, "{\"active\":true,\"sub\":\"\xff\"}"} {
		f(body, "! is not a JSON object")
	}
	f(`{"active":true,"x":"`+strings.Repeat("x", maxAnswer)+`"}`, "! is longer")
	// Dates.
	f(`{"active":true,"exp":1800000030}`, "active 30s")
	f(`{"active":true,"exp":1800000030.9}`, "active 30s")
	f(`{"active":true,"exp":1.80000003e9}`, "active 30s")
	f(`{"active":true,"exp":1800003600}`, "active 1m0s")
	f(`{"active":true,"exp":9007199254740992}`, "active 1m0s")
	f(`{"active":true,"exp":null}`, "active 1m0s")
	f(`{"active":true,"exp":1800000000}`, "expired 5s")
	f(`{"active":true,"exp":0}`, "expired 5s")
	for _, v := range []string{`"1800000030"`, `-1`, `1e300`, `1e999`, `true`, `[1800000030]`, `9007199254740993000`} {
		f(`{"active":true,"exp":`+v+`}`, "! has an exp that is no date")
	}
	f(`{"active":true,"iat":"x"}`, "! has an iat")
	f(`{"active":true,"nbf":"x"}`, "! has an nbf")
	f(`{"active":true,"nbf":1800000060}`, "active")
	f(`{"active":true,"nbf":1800000061}`, "not_yet 5s")
	// Texts.
	for _, name := range []string{"sub", "iss", "client_id", "username", "token_type", "scope", "jti"} {
		f(`{"active":true,"`+name+`":7}`, "! has a "+name+" that is no string")
		f(`{"active":true,"`+name+`":null}`, "active")
	}
	for _, name := range []string{"sub", "iss", "client_id", "scope"} {
		f(`{"active":true,"`+name+`":"a\nb"}`, "unfit")
	}
	f(`{"active":true,"sub":" a"}`, "unfit")
	f(`{"active":true,"aud":{}}`, "! has a aud that is neither")
	f(`{"active":true,"aud":["a",1]}`, "! has a aud with")
	// Tokens that are not to be shown to an API.
	f(`{"active":true,"token_use":"refresh_token"}`, "wrong_type")
	f(`{"active":true,"token_type":"Refresh_Token"}`, "wrong_type")

	a, err := s.read([]byte(`{"active":true,"sub":"s","iss":"i","client_id":"c","scope":" a  b ","aud":["x","y"],"exp":1800000030,"n":1.50}`), now)
	if got := fmt.Sprint(a.Subject, a.Issuer, a.Client, a.Scopes, a.ScopeList, a.Audience, a.Expires, a.Claims["n"], a.Holder == token.Holder{}, err); got != "sic[a b]a b[x y] 18000000301.50true <nil>" {
		t.Error(got)
	}
	if a, err = s.read([]byte(`{"active":true,"cnf":{"jkt":"abc"}}`), now); err != nil || a.Holder.Proven([]byte("any")) {
		t.Errorf("cnf is not read: %v", err)
	}
}

// Good and bad answers are remembered for their times, and no longer than the token.
func TestRemembers(t *testing.T) {
	i := newIssuer(t)
	g := newGateway(t, i, Settings{}, nil)
	f := func(token, want string, asked int64) {
		t.Helper()
		if got := g.look(token); got != want || i.asked.Load() != asked {
			t.Errorf("%s: %s after %d questions, want %s after %d", token, got, i.asked.Load(), want, asked)
		}
	}
	i.says(active("ann", g.date().Add(time.Hour)))
	f("a", "active ann", 1)
	f("a", "active ann", 1)
	i.says(`{"active":false}`) // it is revoked
	g.move(59 * time.Second)
	f("a", "active ann", 1)
	g.move(time.Second)
	f("a", "inactive", 2)
	g.move(4 * time.Second)
	f("a", "inactive", 2)
	i.says(active("ann", g.date().Add(10*time.Second)))
	g.move(time.Second)
	f("a", "active ann", 3)
	g.move(9*time.Second - 1)
	f("a", "active ann", 3)
	g.move(1)
	f("a", "expired", 4)
	if f := g.Figures(); f.Active != 2 || f.Inactive != 2 {
		t.Errorf("%+v", f)
	}
}

// However many show a token at a time, it is asked about once; others are not kept waiting by it.
func TestOneQuestion(t *testing.T) {
	i := newIssuer(t)
	release := make(chan struct{})
	i.does(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("token") == "slow" {
			<-release
		}
		_, _ = w.Write([]byte(`{"active":true,"sub":"ann"}`))
	})
	g := newGateway(t, i, Settings{Timeout: time.Minute}, nil)
	var good atomic.Int64
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if g.look("slow") == "active ann" {
				good.Add(1)
			}
		})
	}
	redistest.Await(t, func() bool { return i.asked.Load() == 1 }, "nobody asks")
	if got := g.look("other"); got != "active ann" {
		t.Error(got)
	}
	close(release)
	wg.Wait()
	if good.Load() != 200 || i.asked.Load() != 2 {
		t.Errorf("%d of 200 good after %d questions", good.Load(), i.asked.Load())
	}
}

// As many questions as allowed are under way; the next one is not asked.
func TestBusy(t *testing.T) {
	i := newIssuer(t)
	release := make(chan struct{})
	i.does(func(w http.ResponseWriter, r *http.Request) {
		<-release
		_, _ = w.Write([]byte(`{"active":true,"sub":"ann"}`))
	})
	g := newGateway(t, i, Settings{Timeout: time.Minute, Questions: 3}, nil)
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Go(func() { g.look(fmt.Sprint("t", n)) })
	}
	redistest.Await(t, func() bool { return g.Figures().Asking == 3 }, "they are not under way")
	if got := g.look("next"); got != "! too many questions to the introspection endpoint are under way" {
		t.Error(got)
	}
	close(release)
	wg.Wait()
	if got := g.look("next"); got != "active ann" {
		t.Error(got)
	}
}

// An endpoint that fails in any way costs no token its good name, and is left alone after five times; one question finds out when it is well.
func TestFails(t *testing.T) {
	hijack := func(w http.ResponseWriter, _ *http.Request) {
		c, _, _ := w.(http.Hijacker).Hijack()
		_ = c.Close()
	}
	hang := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for _, c := range []struct {
		name  string
		spoil func(i *issuer)
		want  string
		word  string // in the log
	}{
		{"500", func(i *issuer) { i.status(500, "canary-body") }, "! is not available: it answers with status 500", "status 500"},
		{"503", func(i *issuer) { i.status(503, `{"active":true}`) }, "! is not available: it answers with status 503", "status 503"},
		{"204", func(i *issuer) { i.status(204, "") }, "! is not available: it answers with status 204", "204"},
		{"redirect", func(i *issuer) { i.status(302, "") }, "! is not available: it answers with status 302", "302"},
		{"429", func(i *issuer) { i.status(429, "") }, "! is not available: it answers with status 429", "429"},
		{"garbage", func(i *issuer) { i.says("canary-body") }, "! is not available: its answer is not a JSON object", "not a JSON object"},
		{"html", func(i *issuer) {
			i.does(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				_, _ = w.Write([]byte(`{"active":true}`))
			})
		}, "! is not available: its answer is not application/json", "not application/json"},
		{"endless", func(i *issuer) { i.says(`{"active":true,"x":"` + strings.Repeat("canary-body", 10_000)) }, "! is not available: POST", "too long"},
		{"breaks", func(i *issuer) { i.does(hijack) }, "! is not available: POST", "closed"},
		{"slow", func(i *issuer) { i.does(hang) }, "! is not available: POST", "in time"},
		{"down", func(i *issuer) { i.Close() }, "! is not available: POST", "refused"},
		{"401", func(i *issuer) { i.status(401, "canary-body") }, "! refuses us: it answers with status 401", "check client_id"},
		{"403", func(i *issuer) { i.status(403, "") }, "! refuses us: it answers with status 403", "check client_id"},
		{"400 invalid_client", func(i *issuer) { i.status(400, `{"error":"invalid_client"}`) }, "! refuses us: it answers with status 400", "check client_id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := newIssuer(t)
			g := newGateway(t, i, Settings{Timeout: 300 * time.Millisecond}, nil)
			i.says(active("ann", g.date().Add(time.Hour)))
			if got := g.look("known"); got != "active ann" {
				t.Fatal(got)
			}
			c.spoil(i)
			for n := range 5 {
				if got := g.look(fmt.Sprint("canary-token", n)); !strings.HasPrefix(got, c.want) {
					t.Errorf("%s, want %s", got, c.want)
				}
			}
			asked := i.asked.Load()
			for n := range 50 {
				if got := g.look(fmt.Sprint("canary-token", n)); !strings.HasPrefix(got, "! ") {
					t.Fatal(got)
				}
			}
			if now := i.asked.Load(); now != asked {
				t.Errorf("asked %d times while it is left alone", now-asked)
			}
			if got := g.look("known"); got != "active ann" {
				t.Errorf("what is known: %s", got)
			}
			if !g.Figures().Resting || g.Figures().Floods != 0 || g.Figures().Bad != 0 {
				t.Errorf("%+v", g.Figures())
			}
			log := g.log.String()
			if !strings.Contains(log, c.word) || strings.Count(log, "\n") != 1 || strings.Contains(log, "canary") {
				t.Errorf("log: %s", log)
			}
			if c.name == "down" {
				return
			}
			i.says(active("bob", g.date().Add(time.Hour)))
			g.move(time.Second - 1)
			if got := g.look("b"); !strings.HasPrefix(got, "! ") {
				t.Errorf("too early: %s", got)
			}
			g.move(1)
			if got := g.look("b"); got != "active bob" {
				t.Error(got)
			}
			if log := g.log.String(); strings.Count(log, "\n") != 2 || !strings.Contains(log, "answers again") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// 400 for one token is about that token: nobody can have the endpoint left alone by making tokens up.
func TestOdd(t *testing.T) {
	i := newIssuer(t)
	g := newGateway(t, i, Settings{}, nil)
	i.status(400, `{"error":"invalid_request"}`)
	for n := range 20 {
		if got := g.look(fmt.Sprint("odd", n)); got != "! is not available: it refuses the question about one token" {
			t.Fatal(got)
		}
	}
	if got := g.look("odd"); got != "! too many bad tokens from this address" {
		t.Error(got)
	}
	i.says(active("ann", g.date().Add(time.Hour)))
	if got := g.lookFrom("a", netip.MustParseAddr("192.0.2.2")); got != "active ann" || g.Figures().Resting {
		t.Error(got)
	}
}

// Only when it is asked for, only for so long, only for what was good, and never after the token's end.
func TestServeStale(t *testing.T) {
	i := newIssuer(t)
	g := newGateway(t, i, Settings{ServeStale: 30 * time.Second}, nil)
	i.says(active("ann", g.date().Add(time.Hour)))
	g.look("long")
	i.says(active("bob", g.date().Add(70*time.Second)))
	g.look("short")
	i.says(`{"active":false}`)
	g.look("bad")
	i.status(500, "")
	g.move(65 * time.Second)
	f := func(token, want string) {
		t.Helper()
		if got := g.look(token); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", token, got, want)
		}
	}
	f("long", "active ann")
	f("short", "active bob")
	f("bad", "! ")
	f("new", "! ")
	g.move(5 * time.Second)
	f("short", "! ")
	f("long", "active ann")
	g.move(20*time.Second - 1)
	f("long", "active ann")
	g.move(1)
	f("long", "! ")
	// One that was good and is found bad stays bad.
	g.move(time.Minute)
	i.says(active("ann", g.date().Add(time.Hour)))
	f("long", "active ann")
	g.move(61 * time.Second)
	i.says(`{"active":false}`)
	f("long", "inactive")
	i.status(500, "")
	g.move(10 * time.Second)
	f("long", "! ")
	if g.Figures().Stale != 4 {
		t.Errorf("%+v", g.Figures())
	}
	plain := newGateway(t, i, Settings{}, nil)
	i.says(active("ann", plain.date().Add(time.Hour)))
	plain.look("a")
	i.status(500, "")
	plain.move(time.Minute)
	if got := plain.look("a"); !strings.HasPrefix(got, "! ") {
		t.Errorf("unasked: %s", got)
	}
}

// A flood of made-up tokens is cut off by its address, is forgiven with time, and takes no good token's place.
func TestFlood(t *testing.T) {
	i := newIssuer(t)
	g := newGateway(t, i, Settings{Inactive: 1000, FloodBurst: 20, FloodRate: 5}, nil)
	i.says(active("ann", g.date().Add(time.Hour)))
	for n := range 500 {
		if got := g.look(fmt.Sprint("good", n)); got != "active ann" {
			t.Fatal(got)
		}
	}
	i.says(`{"active":false}`)
	asked := i.asked.Load()
	for n := range 5000 {
		want := "inactive"
		if n >= 20 {
			want = "! too many bad tokens from this address"
		}
		if got := g.look(fmt.Sprint("bad", n)); got != want {
			t.Fatalf("%d: %s", n, got)
		}
	}
	if now := i.asked.Load() - asked; now != 20 {
		t.Errorf("%d questions for 5000 made-up tokens, want 20", now)
	}
	g.move(time.Second)
	for n := range 6 {
		if got := g.look(fmt.Sprint("more", n)); (got == "inactive") != (n < 5) {
			t.Errorf("a second later, %d: %s", n, got)
		}
	}
	// Others are not hit, nor are those behind the same address whose tokens are known, or were.
	if got := g.lookFrom("x", netip.MustParseAddr("192.0.2.2")); got != "inactive" {
		t.Error(got)
	}
	for n := range 500 {
		if got := g.look(fmt.Sprint("good", n)); got != "active ann" {
			t.Fatal(got)
		}
	}
	i.says(active("ann", g.date().Add(time.Hour)))
	g.move(time.Minute)
	for n := range 20 { // the flood goes on
		g.floods.spend(someone, g.date().UnixNano())
		if got := g.look(fmt.Sprint("good", n)); got != "active ann" {
			t.Fatal(got)
		}
	}
	if got := g.look("never-seen"); got != "! too many bad tokens from this address" {
		t.Error(got)
	}
	// From many addresses, bad ones push each other out, and no good one.
	i.says(`{"active":false}`)
	for n := range 3000 {
		g.lookFrom(fmt.Sprint("w", n), netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}))
	}
	f := g.Figures()
	if f.Bad > 1100 || f.Good != 20 { // the other 480 have had their time
		t.Errorf("%d bad and %d good remembered", f.Bad, f.Good)
	}
}

// One bad token shown many times at once, as by a page whose session is over, is one bad token.
func TestNoFlood(t *testing.T) {
	i := newIssuer(t)
	release := make(chan struct{})
	i.does(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		_, _ = w.Write([]byte(`{"active":false}`))
	})
	g := newGateway(t, i, Settings{Timeout: time.Minute}, nil)
	var wg sync.WaitGroup
	var waiting atomic.Int64
	for range 50 {
		wg.Go(func() {
			waiting.Add(1)
			g.look("old")
		})
	}
	redistest.Await(t, func() bool { return waiting.Load() == 50 && i.asked.Load() == 1 }, "nobody asks")
	close(release)
	wg.Wait()
	if _, shard := g.floods.shard(someone); shard.debts[someone].tokens != 1 {
		t.Errorf("%v bad tokens are counted", shard.debts[someone].tokens)
	}
}

func TestFloods(t *testing.T) {
	at := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	f := newFloods(2, 1)
	const s = int64(time.Second)
	now := 1000 * s
	f.spend(at("2001:db8::1"), now)
	f.spend(at("2001:db8::2"), now)
	for addr, want := range map[string]bool{"2001:db8::ffff:3": true, "2001:db8:0:1::1": false, "10.0.0.1": false, "2001:db8::1%eth0": true} {
		if f.blocked(at(addr), now) != want {
			t.Errorf("%s: blocked is %v", addr, !want)
		}
	}
	f.spend(at("::ffff:10.0.0.1"), now)
	f.spend(at("10.0.0.1"), now)
	if !f.blocked(at("10.0.0.1"), now) || !f.blocked(at("10.0.0.1"), now+s-1) || f.blocked(at("10.0.0.1"), now+s) {
		t.Error("one a second is forgiven")
	}
	if f.blocked(at("10.0.0.1"), now-s) != true {
		t.Error("a clock that goes back forgives")
	}
	for range 100 {
		f.spend(at("10.0.0.1"), now)
	}
	if f.blocked(at("10.0.0.1"), now+3*s) {
		t.Error("more than twice the burst is owed")
	}
	f.spend(netip.Addr{}, now)
	if f.spend(netip.Addr{}, now); f.blocked(netip.Addr{}, now) {
		t.Error("those who are not known are taken for one")
	}
	off := newFloods(-1, 1)
	for range 100 {
		off.spend(at("10.0.0.1"), now)
	}
	if off.blocked(at("10.0.0.1"), now) {
		t.Error("no limit, and blocked")
	}

	// A full table forgets nobody who owes; those who find no place share one count, and find one when others are done.
	full := newFloods(2, 1)
	first := at("10.255.0.1")
	full.spend(first, now)
	full.spend(first, now)
	var b [4]byte
	for n := range 200_000 {
		b = [4]byte{11, byte(n >> 16), byte(n >> 8), byte(n)}
		full.spend(netip.AddrFrom4(b), now)
	}
	n := 0
	for i := range full.shards {
		n += len(full.shards[i].debts)
	}
	if n > floodShards*floodEntries {
		t.Errorf("%d addresses", n)
	}
	if !full.blocked(first, now) {
		t.Error("a flood of addresses freed one")
	}
	if !full.blocked(netip.AddrFrom4(b), now) {
		t.Error("who finds no place is free")
	}
	now += 10 * s
	full.spend(netip.AddrFrom4(b), now)
	full.spend(netip.AddrFrom4(b), now)
	if _, shard := full.shard(netip.AddrFrom4(b)); shard.debts[netip.AddrFrom4(b)].tokens != 2 {
		t.Error("no place when others are done")
	}
}

// Two gateways of a fleet: what one was told, the other knows, for no longer; tokens and answers cannot be read from the store.
func TestShared(t *testing.T) {
	i := newIssuer(t)
	st := newStore(t)
	a, b := newGateway(t, i, Settings{}, st.client()), newGateway(t, i, Settings{}, st.client())
	b.at.Store(a.at.Load())
	i.says(`{"active":true,"sub":"canary-ann","client_id":"canary-client"}`)
	f := func(g *gateway, token, want string, asked int64) {
		t.Helper()
		if got := g.look(token); got != want || i.asked.Load() != asked {
			t.Errorf("%s: %s after %d questions, want %s after %d", token, got, i.asked.Load(), want, asked)
		}
	}
	f(a, "canary-token", "active canary-ann", 1)
	f(b, "canary-token", "active canary-ann", 1)
	if b.Figures().Shared != 1 {
		t.Errorf("%+v", b.Figures())
	}
	keys := st.Do("KEYS", "*")
	if !strings.HasPrefix(keys, "straum:introspection:1:") || strings.Contains(keys, "\n") {
		t.Errorf("keys: %s", keys)
	}
	if ttl := st.Do("TTL", keys); ttl != "60" && ttl != "59" {
		t.Errorf("ttl %s", ttl)
	}
	dump := keys + st.Do("GET", keys) + st.Do("DUMP", keys)
	if strings.Contains(dump, "canary") || strings.Contains(dump, "active") {
		t.Errorf("the store shows %s", dump)
	}
	// The second gateway's time is counted from the first one's question.
	b.move(59 * time.Second)
	f(b, "canary-token", "active canary-ann", 1)
	b.move(time.Second)
	i.says(`{"active":false}`)
	f(b, "canary-token", "inactive", 2) // whatever the store still holds
	if left := st.Do("EXISTS", keys); left != "0" {
		t.Error("a token found bad is still shared as good")
	}
	// Bad ones are not shared.
	f(b, "bad", "inactive", 3)
	if n := st.Do("DBSIZE"); n != "0" {
		t.Errorf("%s keys", n)
	}
	// What somebody else wrote there lets nobody in: made up, or moved from another token.
	i.says(`{"active":true,"sub":"eve"}`)
	f(a, "eve", "active eve", 4)
	i.says(`{"active":false}`)
	stolen := st.Do("KEYS", "*")
	for n, value := range []string{"", "x", strings.Repeat("x", 100), `{"active":true}`} {
		token := fmt.Sprint("forged", n)
		st.Do("SET", "straum:"+a.names.of(token).text(), value)
		f(a, token, "inactive", int64(5+n))
	}
	st.Do("COPY", stolen, "straum:"+a.names.of("moved").text())
	f(a, "moved", "inactive", 9)
	if a.Figures().Forged != 5 {
		t.Errorf("%+v", a.Figures())
	}
	// A gateway that asks as somebody else, or has another secret, shares nothing.
	i.says(`{"active":true,"sub":"ann"}`)
	other := newGateway(t, i, Settings{ClientID: "other"}, st.client())
	f(other, "eve", "active ann", 10)
	if other.Figures().Forged != 0 {
		t.Error("it finds what is not its own")
	}
	f(newGateway(t, i, Settings{ClientID: "other"}, st.client()), "eve", "active ann", 10)
	for name, text := range map[string]string{"a": a.log.String(), "b": b.log.String()} {
		if text != "" {
			t.Errorf("log of %s: %s", name, text)
		}
	}
}

// Whatever becomes of the store, tokens are judged: stopped, paused, flushed.
func TestStoreFails(t *testing.T) {
	i := newIssuer(t)
	i.says(`{"active":true,"sub":"ann"}`)
	st := newStore(t)
	c := st.client()
	g := newGateway(t, i, Settings{}, c)
	f := func(token string, asked int64) {
		t.Helper()
		if got := g.look(token); got != "active ann" || i.asked.Load() != asked {
			t.Errorf("%s: %s after %d questions, want %d", token, got, i.asked.Load(), asked)
		}
	}
	f("a", 1)
	st.Do("FLUSHALL")
	f("a", 1)
	f("b", 2)
	st.Pause()
	for n := range 20 {
		f(fmt.Sprint("paused", n), int64(3+n))
	}
	f("a", 1+21)
	// After the first few nobody waits for it.
	if timeouts := c.Figures().Timeouts + c.Figures().Errors; timeouts > 10 || c.Health().OK {
		t.Errorf("%+v %+v", c.Figures(), c.Health())
	}
	// And with the endpoint down too, what is not known is refused as unknown, not as bad.
	i.status(500, "")
	if got := g.look("new"); !strings.HasPrefix(got, "! is not available") {
		t.Error(got)
	}
	i.says(`{"active":true,"sub":"ann"}`)
	st.Resume()
	redistest.Await(t, func() bool { return c.Health().OK }, "not found again")
	asked := i.asked.Load()
	f("again", asked+1)
	st.Kill()
	redistest.Await(t, func() bool { return !c.Health().OK }, "not missed")
	f("gone", asked+2)
	f("gone", asked+2)
}

func TestRests(t *testing.T) {
	var r rests
	now := int64(1000 * time.Second)
	fail := func(n int) {
		for range n {
			r.note(false, now)
		}
	}
	fail(4)
	if r.note(true, now); !r.may(now) {
		t.Error("four are too few")
	}
	fail(4)
	if r.note(false, now) != began || r.may(now) {
		t.Error("five in a row")
	}
	for _, wait := range []time.Duration{1, 2, 4, 8, 10, 10} {
		now += int64(wait*time.Second) - 1
		if r.may(now) {
			t.Errorf("asked before %d s", wait)
		}
		now++
		if !r.may(now) || r.may(now) {
			t.Errorf("after %d s one may ask", wait)
		}
		if r.note(false, now) != same {
			t.Error("told twice")
		}
	}
	now += int64(10 * time.Second)
	if !r.may(now) {
		t.Error("not asked")
	}
	r.release()
	if !r.may(now) || r.note(true, now) != ceased || !r.may(now) || !r.may(now) {
		t.Error("it is well and not asked")
	}
}

func TestFit(t *testing.T) {
	for _, good := range []string{"a", "mF_9.B5f-4.1JqM", "a+/~==", strings.Repeat("a", MaxToken)} {
		if !Fit(good) {
			t.Errorf("%.20s is refused", good)
		}
	}
	for _, bad := range []string{"", "=", "a=b", "a b", "a,b", "a\n", "é", "a\"", "a:", strings.Repeat("a", MaxToken+1)} {
		if Fit(bad) {
			t.Errorf("%.20q is accepted", bad)
		}
	}
}

func TestRememberedAllocatesNothing(t *testing.T) {
	if race {
		t.Skip("the race detector allocates")
	}
	i := newIssuer(t)
	i.says(`{"active":true,"sub":"ann"}`)
	g := newGateway(t, i, Settings{}, nil)
	g.look("a")
	if n := testing.AllocsPerRun(1000, func() {
		if a, err := g.Look("a", someone); err != nil || !a.Active {
			t.Fatal(a, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// No answer may break it or be taken for good without saying so.
func FuzzRead(f *testing.F) {
	for _, body := range []string{`{"active":true}`, `{"active":false}`, `{"active":true,"exp":1e9,"aud":["a"],"cnf":{"x5t#S256":"a"},"scope":"a b"}`, `{"active":"true"}`} {
		f.Add([]byte(body))
	}
	s := Settings{URL: &url.URL{}, ServeStale: time.Minute}.filled()
	now := time.Unix(1_800_000_000, 0)
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := s.read(body, now)
		if err != nil {
			return
		}
		if a.until < now.UnixNano()-1 || a.Active && (a.until > now.Add(s.TTL).UnixNano() || a.stale < a.until) {
			t.Errorf("%q: from %d to %d and %d", body, now.UnixNano(), a.until, a.stale)
		}
		if a.Active && !strings.Contains(string(body), "true") {
			t.Errorf("%q is active", body)
		}
	})
}

func BenchmarkRemembered(b *testing.B) {
	i := newIssuer(b)
	i.says(`{"active":true,"sub":"ann"}`)
	g := newGateway(b, i, Settings{}, nil)
	g.Source.now = time.Now
	g.look("a")
	token := strings.Repeat("a", 40)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := g.Look(token, someone); err != nil {
				b.Fatal(err)
			}
		}
	})
}
