package introspection

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/issuer"
)

// verified are the options of a policy jwt that finds the provider's keys by itself, with more.
func verified(i *issuer.Issuer, more string) string {
	return fmt.Sprintf("jwt: { issuer: %q, audience: orders, discovery: true, forward: false, %s }", i.URL, more)
}

const ofAcme = "x-auth-method=jwt x-auth-scope=read write x-auth-subject=acme x-consumer-id=acme x-consumer-name=Acme x-user=acme"

// known waits until a gateway has the provider's keys.
func (f *front) known() {
	f.t.Helper()
	gateway.Await(f.t, "the keys are there", func() bool { return f.Number("straum_policy_jwt_keys") > 0 })
}

// Tokens are verified by the keys that discovery leads to. While the provider is down all goes on; without it at the start nobody passes
// until it is there.
func TestKeys(t *testing.T) {
	t.Parallel()
	i := provide(t, "-jwt")
	f := open(t, map[string]string{
		"all":   verified(i, "refetch: 1s, consumer_claim: sub, claims_to_headers: { sub: X-User }"),
		"asked": introspected(i, "consumer_claim: client_id"),
	}, "")
	f.known()
	first, unseen := token(i), token(i)
	if a := f.ask("all", first); a.status != 200 || a.text != ofAcme {
		t.Errorf("got %v", a)
	}
	// The same token may be asked about as well.
	if a := f.ask("asked", first); a.status != 200 || !strings.Contains(a.text, "x-auth-method=introspection x-auth-scope=read write x-auth-subject=acme x-consumer-id=acme") {
		t.Errorf("by introspection: got %v", a)
	}
	f.refused("with another signature", "all", unseen[:len(unseen)-8]+"AAAAAAAA")
	f.refused("for nobody", "all", i.Token("acme", acmeSecret, nil))
	if err := f.Reload(strings.Replace(f.config, "name: Acme", "name: ACME", 1)); err != nil {
		t.Fatal(err)
	}
	if a := f.ask("all", first); a.status != 200 || !strings.Contains(a.text, "x-consumer-name=ACME") {
		t.Errorf("after a reload: got %v", a)
	}
	if n := i.Count("/jwks"); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}

	i.Stop()
	for range 50 {
		if f.passes("a token that is remembered, while the provider is down", "all", first); t.Failed() {
			return
		}
	}
	f.passes("one that is not, while the provider is down", "all", unseen)
	if err := f.Reload(f.config); err != nil {
		t.Fatal(err)
	}
	f.passes("after a reload, while the provider is down", "all", unseen)

	late := open(t, map[string]string{"all": verified(i, "")}, "")
	late.unjudged("without keys", "all", first)
	late.verdict("jwt:no_keys")
	gateway.Await(t, "straum status asks for attention", func() bool { return strings.Contains(late.attention(), i.URL) })
	i.Again() // with keys of its own
	late.known()
	fresh := token(i)
	late.passes("once the keys are there", "all", fresh)
	if a := late.attention(); a != "" {
		t.Errorf("once the keys are there, straum status asks for attention with %q", a)
	}
	f.passes("of the provider that came back", "all", fresh)
	f.refused("of the one that went", "all", first)
	f.silent(first, unseen, fresh)
	late.silent(first, unseen, fresh)
}

// The provider changes its keys under load: no caller gets a 401. Tokens of a key that has left the set stop, also those that are remembered.
func TestRotation(t *testing.T) {
	t.Parallel()
	i := provide(t, "-jwt")
	f := open(t, map[string]string{"all": verified(i, "refetch: 1s, consumer_claim: sub, claims_to_headers: { sub: X-User }")}, "")
	f.known()
	var mu sync.Mutex
	tokens := []string{token(i)}
	one := func(back int) string {
		mu.Lock()
		defer mu.Unlock()
		return tokens[max(len(tokens)-1-back, 0)]
	}
	add := func() {
		fresh := token(i)
		mu.Lock()
		defer mu.Unlock()
		tokens = append(tokens, fresh)
	}
	var sent, failed atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for back := 0; ; back = (back + 1) % 16 { // from the newest to some of the key before
				select {
				case <-stop:
					return
				default:
				}
				if a := f.ask("all", one(back)); a.status != 200 || a.text != ofAcme {
					failed.Add(1)
					t.Errorf("got %v", a)
					return
				}
				sent.Add(1)
				time.Sleep(time.Millisecond) // the machine is others' too
			}
		})
	}
	var once sync.Once
	finish := func() { once.Do(func() { close(stop) }); load.Wait() }
	defer finish()
	for n := range 3 {
		from := sent.Load()
		i.Rotate(true)
		for range 10 {
			add()
		}
		gateway.Await(t, "requests go on after a rotation", func() bool { return sent.Load() > from+400 || failed.Load() > 0 })
		if got := f.Number("straum_policy_jwt_keys"); got != float64(n+2) {
			t.Errorf("after rotation %d there are %v keys", n+1, got)
		}
		// One fetch in refetch: whoever changes keys faster than that has to publish them first.
		gateway.Await(t, "a further fetch is due", func() bool { return f.Number("straum_policy_jwt_keys_age_seconds") > 1.1 })
	}
	finish()
	if sent.Load() < 1000 {
		t.Errorf("only %d requests", sent.Load())
	}
	t.Logf("%d requests, %d failed, %d fetches of the keys", sent.Load(), failed.Load(), i.Count("/jwks"))
	if n := i.Count("/jwks"); n != 4 {
		t.Errorf("the keys were fetched %d times, want 4", n)
	}

	old := one(0)
	f.passes("before its key leaves", "all", old)
	i.Rotate(false)
	f.passes("of the only key", "all", token(i))
	f.refused("of a key that has left", "all", old)
	for n := range 200 {
		if f.refused("made-up names of keys", "all", head(n)+old[strings.IndexByte(old, '.'):]); t.Failed() {
			return
		}
	}
	if n := i.Count("/jwks"); n > 7 {
		t.Errorf("made-up names caused %d fetches", n-5)
	}
}

// head is the first part of a token that names a key nobody has.
func head(n int) string {
	return base64url(fmt.Sprintf(`{"alg":"RS256","kid":"made-up-%d","typ":"at+jwt","at":%d}`, n, time.Now().Unix()))
}
