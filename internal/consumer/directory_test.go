package consumer

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// small is a directory of one consumer of each kind of credential.
func small(t *testing.T) *Builder {
	t.Helper()
	b := NewBuilder()
	gold := &Plan{Name: "gold"}
	check(t, b.Plan(gold))
	check(t, b.Consumer(Consumer{ID: "acme", Name: "Acme Corp", Plan: gold, Groups: []string{"partners", "eu", "partners"}, Tags: []string{"b c", "a"}}))
	check(t, b.Consumer(Consumer{ID: "plain"}))
	check(t, b.Key("acme", KeySpec{Hash: Hash("key one"), Terms: Terms{ID: "one", Expires: 1000, Scopes: []string{"write", "read", "write"}}}))
	check(t, b.Key("plain", KeySpec{Hash: Hash("key two")}))
	check(t, b.Basic("acme", BasicSpec{Username: "ann", Password: password(t, annHash), Terms: Terms{Scopes: []string{"read", "write"}}}))
	check(t, b.Secret("plain", SecretSpec{KeyID: "k1", Secret: []byte(strings.Repeat("s", MinSecret)), Terms: Terms{Expires: 5}}))
	return b
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func password(t *testing.T, text string) Password {
	t.Helper()
	p, err := ParsePassword(text)
	check(t, err)
	return p
}

func TestDirectory(t *testing.T) {
	d := small(t).Build()
	acme, plain := d.Consumer("acme"), d.Consumer("plain")
	if d.Consumer("ACME") != nil || d.Consumer("") != nil {
		t.Error("somebody else was found")
	}
	if want := (Consumer{ID: "acme", Name: "Acme Corp", Plan: d.Plan("gold"), Groups: []string{"eu", "partners"}, Tags: []string{"a", "b c"}, GroupList: "eu,partners"}); !reflect.DeepEqual(*acme, want) {
		t.Errorf("%+v", *acme)
	}
	if want := (Consumer{ID: "plain", Name: "plain"}); !reflect.DeepEqual(*plain, want) {
		t.Errorf("%+v", *plain)
	}
	f := func(got Credential, ok bool, want Credential) {
		t.Helper()
		got.used = nil
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v\nwant %+v", got, ok, want)
		}
	}
	both := []string{"read", "write"}
	c, ok := d.Key(Hash("key one"))
	f(c, ok, Credential{ID: "one", Consumer: acme, Expires: 1000, Scopes: both, ScopeList: "read write"})
	if c.Expired(999) || !c.Expired(1000) {
		t.Error("999 is before the end, 1000 is not")
	}
	c, ok = d.Key(Hash("key two"))
	f(c, ok, Credential{ID: c.ID, Consumer: plain})
	if c.Expired(1 << 40) {
		t.Error("what never ends has ended")
	}
	if len(c.ID) != 10 || strings.Contains(FormatHash(Hash("key two")), c.ID) {
		t.Errorf("made up the id %q", c.ID)
	}
	if c, ok := d.Key(Hash("key three")); ok {
		t.Errorf("found %+v", c)
	}
	c, p, ok := d.Basic("ann")
	f(c, ok, Credential{ID: c.ID, Name: "ann", Consumer: acme, Scopes: both, ScopeList: "read write"})
	if p.String() != annHash {
		t.Error("another password")
	}
	secret, c, ok := d.Secret("k1")
	f(c, ok, Credential{ID: c.ID, Name: "k1", Consumer: plain, Expires: 5})
	if string(secret) != strings.Repeat("s", MinSecret) {
		t.Error("another secret")
	}
	if _, _, ok := d.Secret("k2"); ok {
		t.Error("a secret was found")
	}
	if consumers, credentials := d.Len(); consumers != 2 || credentials != 4 {
		t.Errorf("%d consumers, %d credentials", consumers, credentials)
	}
	n := 0
	for c := range d.Consumers() {
		if n++; c != d.Consumer(c.ID) {
			t.Errorf("%s stands in two places", c.ID)
		}
	}
	if n != 2 {
		t.Errorf("%d consumers", n)
	}
}

func TestEmpty(t *testing.T) {
	d := Empty()
	_, key := d.Key(Hash("a"))
	_, p, basic := d.Basic("a")
	_, _, secret := d.Secret("a")
	if key || basic || secret || d.Consumer("a") != nil || p != (Password{}) || p.Verify("") {
		t.Error("something is there")
	}
}

// Who asks for a user name that is not there gets a password to work on, the same each time.
func TestUnknownUsername(t *testing.T) {
	b := small(t)
	for i := range 50 {
		check(t, b.Basic("acme", BasicSpec{Username: fmt.Sprint("u", i), Password: Password{fmt.Sprint("hash ", i)}}))
	}
	d := b.Build()
	used := map[string]bool{}
	for i := range 200 {
		name := fmt.Sprint("nobody ", i)
		c, p, ok := d.Basic(name)
		if ok || c.Consumer != nil || p.text == "" {
			t.Fatalf("%+v, %q, %v", c, p, ok)
		}
		if _, again, _ := d.Basic(name); again != p {
			t.Fatalf("%q first, then %q", p, again)
		}
		used[p.text] = true
	}
	if len(used) < 20 {
		t.Errorf("200 user names were worked on with %d hashes", len(used))
	}
}

func TestLastUsed(t *testing.T) {
	old := small(t).Build()
	use := func(d *Directory, now int64) {
		one, _ := d.Key(Hash("key one"))
		one.Use(now)
		ann, _, _ := d.Basic("ann")
		ann.Use(now + 1)
		_, k1, _ := d.Secret("k1")
		k1.Use(now + 2)
	}
	list := func(d *Directory) string {
		var b strings.Builder
		for l, c := range d.Credentials() {
			fmt.Fprintf(&b, "%s/%s %d\n", l.Kind, c.Consumer.ID, l.LastUsed)
		}
		return b.String()
	}
	use(old, 100)
	use(old, 50) // a clock that went back
	want := "api_key/acme 100\napi_key/plain 0\nbasic/acme 101\nhmac/plain 102\n"
	if got := list(old); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	b := NewBuilder() // in another order, and with one that is new
	check(t, b.Consumer(Consumer{ID: "plain"}))
	check(t, b.Consumer(Consumer{ID: "acme"}))
	check(t, b.Key("plain", KeySpec{Hash: Hash("key three")}))
	check(t, b.Key("plain", KeySpec{Hash: Hash("key two")}))
	check(t, b.Key("acme", KeySpec{Hash: Hash("key one")}))
	check(t, b.Basic("acme", BasicSpec{Username: "ann", Password: password(t, annHash)}))
	next := b.Build()
	two, _ := next.Key(Hash("key two"))
	two.Use(300)
	ann, _, _ := next.Basic("ann")
	ann.Use(500) // the new one is in use already
	next.Inherit(old)
	next.Inherit(nil)
	want = "api_key/plain 0\napi_key/plain 300\napi_key/acme 100\nbasic/acme 500\n"
	if got := list(next); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	(&Credential{}).Use(1) // somebody the directory does not know
}

func TestRefused(t *testing.T) {
	const hash = "\x00"
	f := func(want string, do func(b *Builder) error) {
		t.Helper()
		if got := fmt.Sprint(do(small(t))); !strings.Contains(got, want) {
			t.Errorf("%q, want %q in it", got, want)
		}
	}
	f("acme is there twice", func(b *Builder) error { return b.Consumer(Consumer{ID: "acme"}) })
	f("gold is there twice", func(b *Builder) error { return b.Plan(&Plan{Name: "gold"}) })
	f(`consumer id ""`, func(b *Builder) error { return b.Consumer(Consumer{}) })
	f(`consumer id "a b"`, func(b *Builder) error { return b.Consumer(Consumer{ID: "a b"}) })
	f(`consumer id "-a"`, func(b *Builder) error { return b.Consumer(Consumer{ID: "-a"}) })
	f("consumer id", func(b *Builder) error { return b.Consumer(Consumer{ID: strings.Repeat("a", 129)}) })
	f("<nil>", func(b *Builder) error { return b.Consumer(Consumer{ID: strings.Repeat("a", 128), Name: "Ærø A/S"}) })
	f("name", func(b *Builder) error { return b.Consumer(Consumer{ID: "a", Name: "a\nb"}) })
	f("name", func(b *Builder) error { return b.Consumer(Consumer{ID: "a", Name: " a"}) })
	f("name", func(b *Builder) error { return b.Consumer(Consumer{ID: "a", Name: "\xff"}) })
	f(`group "a,b"`, func(b *Builder) error { return b.Consumer(Consumer{ID: "a", Groups: []string{"a,b"}}) })
	f(`group "é"`, func(b *Builder) error { return b.Consumer(Consumer{ID: "a", Groups: []string{"é"}}) })
	f(`tag ""`, func(b *Builder) error { return b.Consumer(Consumer{ID: "a", Tags: []string{""}}) })
	f("257 words", func(b *Builder) error { return b.Consumer(Consumer{ID: "a", Groups: make([]string, 257)}) })
	f(`no consumer "nobody"`, func(b *Builder) error { return b.Key("nobody", KeySpec{}) })
	f("already", func(b *Builder) error { return b.Key("plain", KeySpec{Hash: Hash("key one")}) })
	f("the credential one of the consumer acme", func(b *Builder) error { return b.Key("plain", KeySpec{Hash: Hash("key one")}) })
	f("credential id", func(b *Builder) error { return b.Key("plain", KeySpec{Terms: Terms{ID: "a b"}}) })
	f(`scope "a b"`, func(b *Builder) error { return b.Key("plain", KeySpec{Terms: Terms{Scopes: []string{"a b"}}}) })
	f("1970 to 2105", func(b *Builder) error { return b.Key("plain", KeySpec{Terms: Terms{Expires: 1 << 40}}) })
	f("1970 to 2105", func(b *Builder) error { return b.Key("plain", KeySpec{Terms: Terms{Expires: -1}}) })
	f("user name ann is there twice", func(b *Builder) error {
		return b.Basic("plain", BasicSpec{Username: "ann", Password: password(t, annHash)})
	})
	f("user name", func(b *Builder) error { return b.Basic("plain", BasicSpec{Username: "a:b", Password: Password{hash}}) })
	f("user name", func(b *Builder) error { return b.Basic("plain", BasicSpec{Username: "", Password: Password{hash}}) })
	f("user name", func(b *Builder) error {
		return b.Basic("plain", BasicSpec{Username: "a\x00", Password: Password{hash}})
	})
	f("hash is missing", func(b *Builder) error { return b.Basic("plain", BasicSpec{Username: "bob"}) })
	f("key id k1 is there twice", func(b *Builder) error {
		return b.Secret("plain", SecretSpec{KeyID: "k1", Secret: make([]byte, 32)})
	})
	f("31 bytes", func(b *Builder) error { return b.Secret("plain", SecretSpec{KeyID: "k2", Secret: make([]byte, 31)}) })
	f(`key id "k 2"`, func(b *Builder) error {
		return b.Secret("plain", SecretSpec{KeyID: "k 2", Secret: make([]byte, 32)})
	})
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	d := small(t).Build()
	hash, unknown := Hash("key one"), Hash("key three")
	if n := testing.AllocsPerRun(100, func() {
		c, ok := d.Key(hash)
		c.Use(1)
		_, not := d.Key(unknown)
		_, _, basic := d.Basic("ann")
		_, _, nobody := d.Basic("nobody")
		_, _, secret := d.Secret("k1")
		if !ok || not || !basic || nobody || !secret || d.Consumer("acme") == nil || Hash("key one") != hash {
			t.Error("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The index is right whatever the order of additions, also for hashes that begin alike.
func TestIndex(t *testing.T) {
	hashes := make([]uint64, 5000)
	var x index
	for i := range hashes {
		hashes[i] = uint64(i%7)<<56 | uint64(i%11)
		x.add(hashes[i], uint32(i), func(i uint32) uint64 { return hashes[i] })
		if x.n > len(x.slots)/4*3 {
			t.Fatalf("%d of %d slots are taken", x.n, len(x.slots))
		}
	}
	for i := range hashes {
		if got, ok := x.find(hashes[i], func(j uint32) bool { return j == uint32(i) }); !ok || got != uint32(i) {
			t.Fatalf("%d, %v; want %d", got, ok, i)
		}
	}
	if _, ok := x.find(hashes[0], func(uint32) bool { return false }); ok {
		t.Error("found what nobody agreed to")
	}
}

func TestCounts(t *testing.T) {
	b := NewBuilder()
	check(t, b.Consumer(Consumer{ID: "acme"}))
	check(t, b.Key("acme", KeySpec{Hash: Hash("a"), Terms: Terms{Expires: 100}}))
	check(t, b.Key("acme", KeySpec{Hash: Hash("b"), Terms: Terms{Expires: 101}}))
	check(t, b.Key("acme", KeySpec{Hash: Hash("c")}))
	check(t, b.Secret("acme", SecretSpec{KeyID: "k", Secret: make([]byte, MinSecret), Terms: Terms{Expires: 99}}))
	check(t, b.Certificate("acme", CertificateSpec{DNS: "a.example", Terms: Terms{Expires: 100}}))
	d := b.Build()
	if got := [...]int{d.Count(APIKey), d.Count(Basic), d.Count(HMAC), d.Count(MTLS), d.Count("other")}; got != [...]int{3, 0, 1, 1, 0} {
		t.Error(got)
	}
	if got := [...]int{d.Expired(98), d.Expired(99), d.Expired(100), d.Expired(1 << 31)}; got != [...]int{0, 1, 3, 4} {
		t.Error(got)
	}
}
