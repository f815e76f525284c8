package basic

import (
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func hash(t testing.TB, password string) consumer.Password {
	t.Helper()
	text, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	check(t, err)
	p, err := consumer.ParsePassword(string(text))
	check(t, err)
	return p
}

// argon is argon2id of "pass:wörd", with little work.
const argon = "$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHQ$+d25HmU/im1WPZxoW5MMsI/pKHsazeJD5TNyqitZL0A"

func world(t testing.TB) *policytest.World {
	t.Helper()
	w := policytest.New(t)
	b := consumer.NewBuilder()
	check(t, b.Consumer(consumer.Consumer{ID: "acme"}))
	bob, err := consumer.ParsePassword(argon)
	check(t, err)
	check(t, b.Basic("acme", consumer.BasicSpec{Username: "ann", Password: hash(t, "secret"), Terms: consumer.Terms{ID: "ann-1", Scopes: []string{"read"}}}))
	check(t, b.Basic("acme", consumer.BasicSpec{Username: "bøb", Password: bob, Terms: consumer.Terms{ID: "bob-1"}}))
	check(t, b.Basic("acme", consumer.BasicSpec{Username: "old", Password: hash(t, "secret"), Terms: consumer.Terms{Expires: time.Now().Unix() - 1}}))
	w.Consumers = b.Build()
	return w
}

func encoded(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }

func ask(r *policytest.Running, lines ...string) *exchange.Exchange {
	return r.Ask("GET / HTTP/1.1\nHost: a\n" + strings.Join(lines, "\n") + "\n\n")
}

func TestBasic(t *testing.T) {
	r := world(t).Policy(Kind, "{}")
	f := func(want string, lines ...string) {
		t.Helper()
		for range 2 { // the second time from memory
			x := ask(r, lines...)
			got := fmt.Sprintf("%s %s %s", x.Caller.Credential, x.Caller.Subject, policytest.Verdict(x, "basic"))
			if x.Fault != nil {
				got = fmt.Sprintf("%d %s", x.Fault.Kind.Status, policytest.Verdict(x, "basic"))
			}
			if got != want {
				t.Errorf("%q: %s, want %s", lines, got, want)
			}
			if _, left := x.Request.Header.Get(exchange.Authorization); x.Fault == nil && left {
				t.Errorf("%q: the password goes on to the endpoint", lines)
			}
		}
	}
	f("ann-1 ann accepted", "Authorization: "+encoded("ann:secret"))
	f("ann-1 ann accepted", "authorization: bAsIc   "+encoded("ann:secret")[6:])
	f("bob-1 bøb accepted", "Authorization: "+encoded("bøb:pass:wörd"))
	f("401 wrong", "Authorization: "+encoded("ann:Secret"))
	f("401 wrong", "Authorization: "+encoded("ann:"))
	f("401 wrong", "Authorization: "+encoded("bøb:secret"))
	f("401 unknown", "Authorization: "+encoded("Ann:secret"))
	f("401 unknown", "Authorization: "+encoded("nobody:secret"))
	f("401 unknown", "Authorization: "+encoded("nobody:pass:wörd"))
	f("401 expired", "Authorization: "+encoded("old:secret"))
	f("401 wrong", "Authorization: "+encoded("old:secreT"))
	f("401 ")
	f("ann-1 ann accepted", "Authorization: Basic\t"+encoded("ann:secret")[6:])
	f("401 ", "Authorization: Basic\v"+encoded("ann:secret")[6:])
	f("401 ", "Authorization: Basic,"+encoded("ann:secret")[6:])
	f("401 ", "Authorization: Bearer "+encoded("ann:secret")[6:])
	f("401 ", "Authorization: "+strings.ReplaceAll(encoded("ann:secret"), " ", ""))
	f("401 ", "Proxy-Authorization: "+encoded("ann:secret"))
	f("400 twice", "Authorization: "+encoded("ann:secret"), "Authorization: "+encoded("ann:secret"))
	f("400 twice", "Authorization: Bearer a", "Authorization: "+encoded("ann:secret"))
	f("401 malformed", "Authorization: Basic")
	f("401 malformed", "Authorization: Basic ann:secret")
	f("401 malformed", "Authorization: "+strings.TrimRight(encoded("ann:secret1"), "="))
	f("401 malformed", "Authorization: "+encoded("ann:secret")+"=")
	f("401 malformed", "Authorization: "+encoded("ann:secret")+" a")
	f("401 malformed", "Authorization: Basic YW5uOnNlY3JldB==") // bits to spare that are not zero
	f("401 malformed", "Authorization: "+encoded("annsecret"))
	f("401 malformed", "Authorization: "+encoded(":secret"))
	f("401 malformed", "Authorization: "+encoded("ann:sec\x00ret"))
	f("401 malformed", "Authorization: "+encoded("ann:sec\nret"))
	f("401 malformed", "Authorization: "+encoded("ann:\xff"))
	f("401 wrong", "Authorization: "+encoded("ann:"+strings.Repeat("a", 1020)))
	f("401 malformed", "Authorization: "+encoded("ann:"+strings.Repeat("a", 1021)))
	f("401 malformed", "Authorization: "+encoded(strings.Repeat("a", 8000)))
}

func TestForward(t *testing.T) {
	x := ask(world(t).Policy(Kind, "{forward: true}"), "Authorization: "+encoded("ann:secret"))
	if got, _ := x.Request.Header.Get(exchange.Authorization); got != encoded("ann:secret") {
		t.Errorf("%q", got)
	}
}

func TestCaller(t *testing.T) {
	w := world(t)
	x := ask(w.Policy(Kind, "{}"), "Authorization: "+encoded("ann:secret"))
	if c := &x.Caller; c.Consumer != w.Consumers.Consumer("acme") || c.Method != "basic" || c.ScopeList != "read" || !c.Has("read") || c.Subject != "ann" {
		t.Errorf("%+v", c)
	}
	for l, c := range w.Consumers.Credentials() {
		if used := l.LastUsed != 0; used != (c.ID == "ann-1") {
			t.Errorf("%s: used %v", c.ID, used)
		}
	}
}

func TestChallenge(t *testing.T) {
	w := world(t)
	f := func(options, line, want string, signals exchange.Signal) {
		t.Helper()
		x := ask(w.Policy(Kind, options), line)
		if x.Fault == nil || x.Fault.Kind != fault.NotAuthenticated || strings.Join(x.Challenges, "|") != want || x.Signals != signals {
			t.Errorf("%v, %q, %d", x.Fault, x.Challenges, x.Signals)
		}
	}
	f("{}", "Accept: a", `Basic realm="api", charset="UTF-8"`, 0)
	f("{realm: Orders}", "Authorization: "+encoded("ann:a"), `Basic realm="Orders", charset="UTF-8"`, exchange.AuthFailed)
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	for options, want := range map[string]string{
		`{realm: 'a"b'}`: "cannot be quoted", `{realm: 'a\b'}`: "cannot be quoted", "{realm: ''}": "realm", "{relm: a}": "relm", "{forward: perhaps}": "forward",
	} {
		if got := w.Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", options, got, want)
		}
	}
}

// A password that was taken out of the configuration, or changed, stops at once, though it is remembered; others stay remembered.
func TestReload(t *testing.T) {
	w := world(t)
	first := w.Policy(Kind, "{}")
	ann, bob := "Authorization: "+encoded("ann:secret"), "Authorization: "+encoded("bøb:pass:wörd")
	if x := ask(first, ann); x.Fault != nil {
		t.Fatal(x.Fault)
	}
	if x := ask(first, bob); x.Fault != nil {
		t.Fatal(x.Fault)
	}
	worked := policy.Hold(w.State, Kind.Name, "", newVerifier).worked.Load()
	b := consumer.NewBuilder()
	check(t, b.Consumer(consumer.Consumer{ID: "acme"}))
	check(t, b.Basic("acme", consumer.BasicSpec{Username: "ann", Password: hash(t, "another")}))
	bobs, err := consumer.ParsePassword(argon)
	check(t, err)
	check(t, b.Basic("acme", consumer.BasicSpec{Username: "bøb", Password: bobs}))
	w.Consumers = b.Build()
	second := w.Policy(Kind, "{realm: another}")
	if x := ask(second, bob); x.Fault != nil {
		t.Error(x.Fault)
	}
	if now := policy.Hold(w.State, Kind.Name, "", newVerifier).worked.Load(); worked != 2 || now != worked {
		t.Errorf("bøb's password was worked on again: %d times, then %d", worked, now)
	}
	if x := ask(second, ann); x.Fault == nil || policytest.Verdict(x, "basic") != "wrong" {
		t.Errorf("the password that was changed: %v", x.Fault)
	}
	w.Consumers = consumer.Empty()
	if x := ask(w.Policy(Kind, "{}"), bob); x.Fault == nil || policytest.Verdict(x, "basic") != "unknown" {
		t.Errorf("the password that is gone: %v", x.Fault)
	}
}

// For a user name that is not there, the same is worked on and remembered as for one that is.
func TestSameWorkForUnknown(t *testing.T) {
	b := consumer.NewBuilder()
	check(t, b.Consumer(consumer.Consumer{ID: "acme"}))
	for i := range 8 {
		check(t, b.Basic("acme", consumer.BasicSpec{Username: fmt.Sprint("u", i), Password: hash(t, fmt.Sprint("p", i))}))
	}
	var worked []string
	v := newVerifierOf(1, func(p consumer.Password, password string) bool {
		worked = append(worked, p.String()[:7]+" "+password)
		return p.Verify(password)
	})
	r := &running{settings{}, b.Build(), v}
	run := func(pair string) (work []string, word string) {
		worked = nil
		x := &exchange.Exchange{}
		x.Begin(&exchange.Conn{}, 1)
		x.Request.Header.Append(exchange.Authorization, "Authorization", encoded(pair))
		if r.Authenticate(x) != policy.Refused || x.Fault != nil {
			t.Errorf("%s: not refused", pair)
		}
		return worked, policytest.Verdict(x, "basic")
	}
	for i := range 100 {
		password := fmt.Sprint("p", i%8) // for one user name in eight this is even what the hash is of
		known, word := run(fmt.Sprintf("u%d:not %s", i%8, password))
		if want := []string{"$2a$04$ not " + password}; i < 8 && (word != "wrong" || fmt.Sprint(known) != fmt.Sprint(want)) {
			t.Fatalf("%s, worked on %q", word, known)
		}
		unknown, word := run(fmt.Sprintf("n%d:%s", i, password))
		if want := []string{"$2a$04$ " + password}; word != "unknown" || fmt.Sprint(unknown) != fmt.Sprint(want) {
			t.Fatalf("%s, worked on %q", word, unknown)
		}
		if again, _ := run(fmt.Sprintf("n%d:%s", i, password)); len(again) != 0 {
			t.Fatalf("worked on %q again", again)
		}
	}
}

// As many work as there are turns, a bounded number waits, others are told to come again; who waited for the same password as another does
// not work again.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var working, most atomic.Int64
		v := newVerifierOf(2, func(_ consumer.Password, password string) bool {
			if n := working.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-release
			working.Add(-1)
			return password == "p0"
		})
		var done, busy, right, wrong atomic.Int64
		var group sync.WaitGroup
		const asked = 2 + 2*queued + 10
		for i := range asked {
			group.Go(func() {
				ok, finished := v.verify(consumer.Password{}, "u", fmt.Sprint("p", i%4))
				switch {
				case !finished:
					busy.Add(1)
				case ok && i%4 == 0:
					right.Add(1)
				case ok || i%4 == 0:
					wrong.Add(1)
				}
				done.Add(1)
			})
		}
		synctest.Wait()
		if most.Load() != 2 || busy.Load() != 10 || done.Load() != 10 || v.waiting.Load() != 2*queued {
			t.Errorf("%d work, %d were sent away, %d are done, %d wait", most.Load(), busy.Load(), done.Load(), v.waiting.Load())
		}
		figures := map[string]float64{}
		v.Report(func(f policy.Figure) { figures[f.Name] = f.Value })
		if figures["basic_waiting"] != 2*queued || figures["basic_busy_total"] != 10 {
			t.Errorf("%v", figures)
		}
		close(release)
		group.Wait()
		if done.Load() != asked || busy.Load() != 10 || v.worked.Load() > 2*4 || most.Load() != 2 || v.waiting.Load() != 0 {
			t.Errorf("%d done, %d worked on, %d at once, %d wait", done.Load(), v.worked.Load(), most.Load(), v.waiting.Load())
		}
		if right.Load() == 0 || wrong.Load() != 0 {
			t.Errorf("%d right, %d wrong", right.Load(), wrong.Load())
		}
	})
}

func TestBusy(t *testing.T) {
	w := world(t)
	v := newVerifierOf(1, consumer.Password.Verify)
	policy.Hold(w.State, Kind.Name, "", func() *verifier { return v })
	r := w.Policy(Kind, "{}")
	if x := ask(r, "Authorization: "+encoded("bøb:pass:wörd")); x.Fault != nil {
		t.Fatal(x.Fault)
	}
	v.turns <- struct{}{} // somebody works
	v.most = 0
	for _, pair := range []string{"ann:secret", "ann:wrong", "nobody:secret"} {
		x := ask(r, "Authorization: "+encoded(pair))
		if x.Fault == nil || x.Fault.Kind != fault.AuthUnavailable || x.Fault.RetryAfter != 1 || policytest.Verdict(x, "basic") != "busy" {
			t.Errorf("%s: %v", pair, x.Fault)
		}
	}
	if x := ask(r, "Authorization: "+encoded("bøb:pass:wörd")); x.Fault != nil {
		t.Errorf("one who is remembered: %v", x.Fault)
	}
}

func TestMemory(t *testing.T) {
	m := newMemory(memoryShards * memoryWays * 2)
	of := func(i int) *mark {
		k := markKey{}
		one := k.mark("h", "u", fmt.Sprint(i))
		return &one
	}
	if m.has(of(0)) {
		t.Error("an empty memory has something")
	}
	const n = 20_000
	for i := range n {
		m.add(of(i))
		m.has(of(0)) // asked for all the time
		if !m.has(of(i)) {
			t.Fatalf("%d is forgotten at once", i)
		}
	}
	kept := 0
	for i := range n {
		if m.has(of(i)) {
			kept++
		}
	}
	if kept != memoryShards*memoryWays*2 {
		t.Errorf("%d are remembered", kept)
	}
	if !m.has(of(0)) {
		t.Error("what is asked for all the time was forgotten")
	}
}

// Marks differ when any part does, also when the parts joined are the same.
func TestMark(t *testing.T) {
	a, b := newMarkKey(), newMarkKey()
	seen := map[mark]string{}
	for _, k := range []*markKey{&a, &b} {
		for _, parts := range [][3]string{{"h", "u", "p"}, {"hu", "", "p"}, {"h", "up", ""}, {"", "hu", "p"}, {"h", "u", "P"}, {"h", "u", "p\x00"}} {
			m := k.mark(parts[0], parts[1], parts[2])
			if first, ok := seen[m]; ok {
				t.Errorf("%q and %s have one mark", parts, first)
			}
			seen[m] = fmt.Sprint(parts)
		}
	}
	long := a.mark(strings.Repeat("h", 512), strings.Repeat("u", 512), strings.Repeat("p", 512))
	if long == a.mark(strings.Repeat("h", 512), strings.Repeat("u", 512), strings.Repeat("p", 511)+"q") {
		t.Error("the last byte does not count")
	}
}

func remembered(t testing.TB, pair string) (r *policytest.Running, x *exchange.Exchange) {
	t.Helper()
	r = world(t).Policy(Kind, "{}")
	x = r.Request("GET / HTTP/1.1\nHost: a\nAuthorization: " + encoded(pair) + "\nAccept: a\n\n")
	return r, x
}

// again takes a request through step 4 once more.
func again(r *policytest.Running, x *exchange.Exchange, fields []exchange.Field) {
	x.Request.Header.Reset()
	for _, f := range fields {
		x.Request.Header.Append(f.Known, f.Name, f.Value)
	}
	x.Verdicts = x.Verdicts[:0]
	r.Chain.Request(x)
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r, x := remembered(t, "ann:secret")
	fields := append([]exchange.Field(nil), x.Request.Header.All()...)
	if n := testing.AllocsPerRun(100, func() {
		again(r, x, fields)
		if x.Fault != nil {
			t.Fatal(x.Fault)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRemembered(b *testing.B) {
	r, x := remembered(b, "ann:secret")
	fields := append([]exchange.Field(nil), x.Request.Header.All()...)
	b.ReportAllocs()
	for b.Loop() {
		again(r, x, fields)
	}
	if x.Fault != nil {
		b.Fatal(x.Fault)
	}
}

// FuzzPair: what is taken is what base64 says, within the bounds.
func FuzzPair(f *testing.F) {
	f.Add(encoded("ann:secret")[6:])
	f.Add("YW5uOnNlY3JldB==")
	f.Add(encoded(strings.Repeat("a", 1022) + ":b")[6:])
	f.Fuzz(func(t *testing.T, text string) {
		var p pair
		if !p.parse(text) {
			return
		}
		username, password := p.username(), p.password()
		if username == "" || strings.Contains(username, ":") || len(username)+1+len(password) > maxPair {
			t.Errorf("%q: %q and %q", text, username, password)
		}
		if again := encoded(username + ":" + password)[6:]; again != text {
			t.Errorf("%q reads as %q", text, again)
		}
	})
}
