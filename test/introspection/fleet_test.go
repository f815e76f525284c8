package introspection

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
)

// fleetSecret is what the gateways of a fleet have in common.
const fleetSecret = "the-secret-of-the-whole-fleet-of-gateways"

// sharing is the part of a configuration by which a gateway belongs to a fleet.
func sharing(redis *store, secret, budget string) string {
	return fmt.Sprintf("secret: %q\nredis: { addresses: [%q], budget: %s }\n", secret, redis.address, budget)
}

// up waits until a gateway has found its store, or has found that it is gone.
func (f *front) up(want float64) {
	f.t.Helper()
	gateway.Await(f.t, fmt.Sprintf("straum_policy_redis_up is %v", want), func() bool { return f.Number("straum_policy_redis_up") == want })
}

// degraded is what /readyz says works without.
func (f *front) degraded() string {
	f.t.Helper()
	code, text := f.page("/readyz")
	var page struct {
		Ready    bool
		Degraded []struct{ Check, Reason string }
	}
	if err := json.Unmarshal([]byte(text), &page); err != nil || code != 200 || !page.Ready {
		f.t.Errorf("/readyz is %d %s %v", code, text, err)
	}
	var all []string
	for _, d := range page.Degraded {
		if d.Reason == "" {
			f.t.Errorf("/readyz gives no reason: %s", text)
		}
		all = append(all, d.Check)
	}
	return strings.Join(all, " ")
}

// What one gateway of a fleet has learnt the others know; a gateway with another secret does not. In Redis nobody learns a token, whose it
// is, or lets anybody in.
func TestFleet(t *testing.T) {
	t.Parallel()
	redis, i := startRedis(t), provide(t)
	policies := map[string]string{"all": introspected(i, "consumer_claim: client_id, consumer_required: false, hide: true"), "alone": introspected(i, "redis: false")}
	one := open(t, policies, sharing(redis, fleetSecret, "1s"))
	two := open(t, policies, sharing(redis, fleetSecret, "1s"))
	other := open(t, policies, sharing(redis, strings.ToUpper(fleetSecret), "1s"))
	all := []*front{one, two, other}
	for _, f := range all {
		f.up(1)
		if d := f.degraded(); d != "" {
			t.Errorf("degraded: %s", d)
		}
	}
	asked := func(what string, want int) {
		t.Helper()
		if n := i.Count("/introspect"); n != want {
			t.Errorf("%s: the provider was asked %d times, want %d", what, n, want)
		}
	}
	var tokens []string
	for range 10 {
		tokens = append(tokens, token(i))
	}
	stranger := i.Token("stranger", acmeSecret, nil)
	tokens = append(tokens, stranger)
	const mine = "x-auth-method=introspection x-auth-scope=read write x-auth-subject=acme x-consumer-id=acme x-consumer-name=Acme"
	const theirs = "x-auth-method=introspection x-auth-subject=stranger"
	sweep := func(who string, f *front) {
		t.Helper()
		for n, one := range tokens {
			want := mine
			if one == stranger {
				want = theirs
			}
			if a := f.ask("all", one); a.status != 200 || a.text != want {
				t.Errorf("%s, token %d: got %v", who, n, a)
			}
		}
	}
	sweep("the first", one)
	asked("the first", 11)
	sweep("the second", two)
	asked("the second", 11)
	if n := two.Number("straum_policy_introspection_shared_total", `outcome="found"`); n != 11 {
		t.Errorf("the second found %v, want 11", n)
	}
	before := redis.all()
	if len(before) != 11 {
		t.Errorf("redis has %d keys, want 11", len(before))
	}
	sweep("one with another secret", other)
	asked("one with another secret", 22)
	two.passes("where nothing is shared", "alone", tokens[0])
	asked("where nothing is shared", 23)
	for range 3 {
		two.refused("made up", "all", "made-up")
	}
	asked("made up", 24)
	kept := redis.all()
	if len(kept) != 22 {
		t.Errorf("redis has %d keys, want 22: bad tokens stay at home", len(kept))
	}
	for key, value := range kept {
		for _, secret := range append(tokens, gatewaySecret, acmeSecret, fleetSecret, "stranger", "client_id", "made-up") {
			if how := holds([]byte(key+"\n"+string(value)), secret); how != "" {
				t.Errorf("redis tells a secret (%s): %.8s…", how, secret)
			}
		}
		if ttl := string(redis.do("PTTL", key)); strings.HasPrefix(ttl, "-") || len(ttl) > 5 {
			t.Errorf("a key is kept for %s ms", ttl)
		}
	}

	// Whoever writes to Redis takes an answer for another token's, or makes one up.
	three := open(t, policies, sharing(redis, fleetSecret, "1s"))
	three.up(1)
	var names []string
	for key := range before {
		names = append(names, key)
	}
	slices.Sort(names)
	for n := range names {
		out, err := rename(redis, names[n], fmt.Sprintf("moved:%d", n))
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for n := range names {
		if out, err := rename(redis, fmt.Sprintf("moved:%d", n), names[(n+1)%len(names)]); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	redis.do("SET", names[0], `{"active":true,"client_id":"acme"}`, "PX", "60000")
	sweep("a third, with answers that were moved", three)
	asked("a third, with answers that were moved", 35)
	if n := three.Number("straum_policy_introspection_shared_total", `outcome="forged"`); n != 11 {
		t.Errorf("%v were forged, want 11", n)
	}
	for _, f := range append(all, three) {
		f.silent(append(tokens, fleetSecret)...)
	}
}

func rename(redis *store, from, to string) ([]byte, error) {
	port := redis.address[strings.LastIndexByte(redis.address, ':')+1:]
	return exec.Command("redis-cli", "-p", port, "RENAME", from, to).CombinedOutput()
}

// A token that was taken back stops at all gateways within ttl, whoever asked about it.
func TestFleetRevoked(t *testing.T) {
	t.Parallel()
	redis, i := startRedis(t), provide(t)
	policies := map[string]string{"all": introspected(i, "ttl: 2s, inactive_ttl: 100ms")}
	one, two := open(t, policies, sharing(redis, fleetSecret, "1s")), open(t, policies, sharing(redis, fleetSecret, "1s"))
	one.up(1)
	two.up(1)
	good := token(i)
	one.passes("before", "all", good)
	two.passes("before", "all", good)
	revoke(t, i, good)
	gateway.Await(t, "it stops at the second", func() bool { return two.ask("all", good).status == 401 })
	gateway.Await(t, "it stops at the first", func() bool { return one.ask("all", good).status == 401 })
	for range 20 {
		one.refused("taken back", "all", good)
		two.refused("taken back", "all", good)
	}
	if n := len(redis.all()); n != 0 {
		t.Errorf("redis keeps %d keys", n)
	}
}

// The store may be emptied, stop answering, die, or not be there at first: no request fails for it, gateways stay ready and say what they miss.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	redis, i := startRedis(t), provide(t)
	policies := map[string]string{"all": introspected(i, "ttl: 1s"), // for the load, and counted apart from the other
		"long": strings.NewReplacer("client_id: gateway", "client_id: acme", gatewaySecret, acmeSecret).Replace(introspected(i, ""))}
	one, two := open(t, policies, sharing(redis, fleetSecret, "50ms")), open(t, policies, sharing(redis, fleetSecret, "50ms"))
	fleet := []*front{one, two}
	one.up(1)
	two.up(1)

	var tokens []string // each is asked about anew every second
	for range 8 {
		tokens = append(tokens, token(i))
	}
	var sent, failed atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for n, f := range []*front{one, two} {
		load.Go(func() {
			for k := n; ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				if a := f.ask("all", tokens[k%len(tokens)]); a.status != 200 {
					failed.Add(1)
					t.Errorf("gateway %d: got %v", n, a)
					return
				}
				sent.Add(1)
				time.Sleep(time.Millisecond) // the machine is others' too
			}
		})
	}
	defer load.Wait()
	var once sync.Once
	finish := func() { once.Do(func() { close(stop) }) }
	defer finish()
	goesOn := func(what string) {
		t.Helper()
		from := sent.Load()
		for _, f := range fleet {
			for range 6 {
				f.passes(what+": a new token", "long", token(i))
			}
		}
		gateway.Await(t, what+": requests go on", func() bool { return sent.Load() > from+100 || failed.Load() > 0 })
	}
	away := func(what string) {
		t.Helper()
		for _, f := range fleet {
			f.up(0)
			if d := f.degraded(); d != "redis" {
				t.Errorf("%s: degraded: %q", what, d)
			}
			if a := f.attention(); !strings.Contains(a, "shared store does not answer") {
				t.Errorf("%s: straum status asks for attention with %q", what, a)
			}
		}
	}
	back := func(what string) {
		t.Helper()
		for _, f := range fleet {
			f.up(1)
			if d, a := f.degraded(), f.attention(); d != "" || a != "" {
				t.Errorf("%s: degraded: %q, attention: %q", what, d, a)
			}
		}
		gateway.Await(t, what+": the second finds in the store what the first has learnt", func() bool {
			found := func() float64 {
				return two.Number("straum_policy_introspection_shared_total", `outcome="found"`, `client_id="acme"`)
			}
			shared, before := token(i), found()
			one.passes(what, "long", shared)
			two.passes(what, "long", shared)
			return found() > before
		})
	}
	goesOn("all is well")
	back("all is well")

	redis.do("FLUSHALL")
	goesOn("emptied")
	back("emptied")

	late := func(f *front) float64 { return f.Number("straum_policy_redis_commands_total", `outcome="timeout"`) }
	before := []float64{late(one), late(two)}
	gateway.Pause(t, redis.cmd.Process)
	goesOn("stopped")
	away("stopped")
	for n, f := range fleet {
		if late(f) == before[n] {
			t.Errorf("gateway %d: no command ended by the budget", n)
		}
	}
	goesOn("stopped and known to be")
	redis.signal(syscall.SIGCONT)
	back("resumed")

	redis.kill()
	goesOn("killed")
	away("killed")
	third := open(t, policies, sharing(redis, fleetSecret, "50ms"))
	if d := third.degraded(); d != "redis" {
		t.Errorf("one that starts without: degraded: %q", d)
	}
	fleet = append(fleet, third)
	goesOn("one that starts without")
	redis.again()
	back("started again")
	goesOn("started again")
	finish()
	load.Wait()
	t.Logf("%d requests of the load went on, %d failed", sent.Load(), failed.Load())
	for _, f := range fleet {
		f.silent(append(tokens, fleetSecret)...)
	}
}
