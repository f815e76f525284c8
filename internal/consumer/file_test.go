package consumer

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func read(t *testing.T, text string) (*Directory, error) {
	t.Helper()
	b := NewBuilder()
	check(t, b.Plan(&Plan{Name: "gold"}))
	check(t, b.Plan(&Plan{Name: "free"}))
	check(t, b.Consumer(Consumer{ID: "acme", Name: "Acme Corp", Groups: []string{"eu", "partners"}}))
	err := b.ReadFile("keys", strings.NewReader(text))
	return b.Build(), err
}

func TestReadFile(t *testing.T) {
	one, two := FormatHash(Hash("one")), FormatHash(Hash("two"))
	d, err := read(t, `# what the partners have
api_key=`+one+` consumer=acme id=first scopes=write,read expires=2027-01-31   # until the contract ends

	api_key=`+two+"\tconsumer=beta name=\"Beta \\\"B\\\" \\\\ Sønn # 1\" plan=gold groups=b,a tags=x,y"+`
basic=ann:`+annHash+` consumer=beta groups=a,b plan=gold expires=2027-01-31T00:00:00Z
mtls=sha256:`+strings.Repeat("AB:", 31)+`ab consumer=beta
mtls="subject:CN=beta, O=Beta" consumer=beta
mtls=dns:Beta.Example.com consumer=beta
consumer=alone tags="two words,one"`+"\r\n")
	check(t, err)
	if consumers, credentials := d.Len(); consumers != 3 || credentials != 6 {
		t.Errorf("%d consumers, %d credentials", consumers, credentials)
	}
	c, _ := d.Key(Hash("one"))
	if c.ID != "first" || c.Consumer.ID != "acme" || c.Consumer.Name != "Acme Corp" || c.ScopeList != "read write" || c.Expires != 1801440000 {
		t.Errorf("%+v", c)
	}
	c, _ = d.Key(Hash("two"))
	if b := c.Consumer; b.ID != "beta" || b.Name != `Beta "B" \ Sønn # 1` || b.Plan != d.Plan("gold") || b.GroupList != "a,b" || strings.Join(b.Tags, "|") != "x|y" {
		t.Errorf("%+v", b)
	}
	if c, p, ok := d.Basic("ann"); !ok || c.Consumer != d.Consumer("beta") || p.String() != annHash || c.Expires != 1801353600 {
		t.Errorf("%+v %v", c, ok)
	}
	if a := d.Consumer("alone"); a.Name != "alone" || strings.Join(a.Tags, "|") != "one|two words" {
		t.Errorf("%+v", a)
	}
}

func TestReadFileRefused(t *testing.T) {
	key := "api_key=" + FormatHash(Hash("one"))
	const canary = "straum_abcdefgh_canary"
	f := func(text string, want ...string) {
		t.Helper()
		_, err := read(t, text)
		got := fmt.Sprint(err)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%q: %q, want %q in it", text, got, w)
			}
		}
		if strings.Contains(got, "canary") {
			t.Errorf("%q: a secret is repeated in %q", text, got)
		}
	}
	f(key+" consumer=acme\n"+key+" consumer=beta\n", "keys:2: the API key is there twice; it is the credential", "of the consumer acme")
	f("\n\nfoo\n", "keys:3: found a word without =")
	f(canary, "keys:1: found a word without =")
	f(canary+"=a", "unknown key")
	f(`"`+canary+`"=a`, "unknown key")
	f("=a", "without =")
	f(key+" =", "without =")
	f(key, "keys:1: a line must say whose credential")
	f(key+" consumer=a consumer=b", "consumer twice")
	f(key+" consumer=", "consumer without a value")
	f(key+` consumer=""`, "consumer without a value")
	f(key+` consumer="acme`, "not closed")
	f(key+` consumer="acme"x`, "leave a space")
	f(key+` consumer=acme name="\n"`, "lone backslash")
	f(key+` consumer=acme name="\`, "lone backslash")
	f(key+` consumer=ac"me`, "quote within")
	f("api_key="+canary+" consumer=acme", "no hash of a key")
	f("basic=ann:canary consumer=acme", "no hash of a password")
	f("basic=canary consumer=acme", "basic=username:hash")
	f(key+" basic=ann:"+annHash+" consumer=acme", "more than one of")
	f(key+" consumer=acme id="+canary+"!", "credential id")
	f(key+" consumer=acme id=a expires=tomorrow", `found "tomorrow"`)
	f(key+" consumer=acme scopes=a,,b", `scope ""`)
	f(key+" consumer=a/b", `consumer id "a/b"`)
	f(key+" consumer=beta plan=silver", `no plan "silver"`)
	f("consumer=acme id=x", "without a credential")
	f("consumer=acme scopes=x", "without a credential")
	f("mtls=md5:aa consumer=acme", `mark "md5"`)
	f("mtls=sha256:aa consumer=acme", "64 hexadecimal digits")
	f("mtls=email:aa consumer=acme", "name@domain")
	f("mtls=subject: consumer=acme", "allowed: sha256:")
	f("consumer=acme name=\xff", "no UTF-8")
	f("consumer=beta name=a\x00b", "found the name")
	// What differs from what is known, and is not only written otherwise.
	f("consumer=acme groups=partners,eu name=\"Acme Corp\"", "<nil>")
	f("consumer=acme name=Acme", "keys:1: the name of the consumer acme differs")
	f("consumer=acme groups=eu", "the groups of the consumer acme differs")
	f("consumer=acme plan=gold", "the plan of the consumer acme differs")
	f("consumer=acme tags=a", "the tags of the consumer acme differs")
	f("consumer=beta plan=gold\nconsumer=beta\nconsumer=beta plan=free", "keys:3: the plan of the consumer beta differs")
	// Bounds, and several mistakes at once.
	f("#"+strings.Repeat("a", MaxLine-2)+"\nfoo", "keys:2: found a word")
	f("#"+strings.Repeat("a", MaxLine-1)+"\n", "keys:1: a line of more than 8192 bytes")
	f(strings.Repeat("a", 20*MaxLine), "keys:1: a line of more")
	f("foo\nbar\n"+key+" consumer=acme\nbaz", "keys:1: ", "keys:2: ", "keys:4: ")
	if _, err := read(t, strings.Repeat("foo\n", 100)); strings.Count(err.Error(), "keys:") != maxErrors {
		t.Errorf("%v", err)
	}
}

func TestReadFileBroken(t *testing.T) {
	broken := errors.New("the disk is gone")
	err := NewBuilder().ReadFile("keys", io.MultiReader(strings.NewReader("consumer=a\n"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "keys: ") {
		t.Error(err)
	}
}

// Nothing of the reader's buffer is kept: what stood in it first is there after it was overwritten many times.
func TestReadFileKeepsNoView(t *testing.T) {
	var b strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&b, "api_key=%s consumer=c%d name=\"Name %d\" groups=g%d tags=t%d scopes=s%d id=i%d\n", FormatHash(numbered(i)), i, i, i%300, i%300, i%300, i)
	}
	fmt.Fprintf(&b, "basic=ann:%s consumer=c0\nmtls=dns:a.example consumer=c0\n%s", annHash, strings.Repeat("# "+strings.Repeat("x", 4000)+"\n", 50))
	d, err := read(t, b.String())
	check(t, err)
	for i := range 20_000 {
		c, ok := d.Key(numbered(i))
		got := fmt.Sprintln(ok, c.ID, c.Consumer.ID, c.Consumer.Name, c.Consumer.GroupList, c.Consumer.Tags, c.Scopes, c.ScopeList)
		if want := fmt.Sprintf("true i%d c%d Name %d g%d [t%d] [s%d] s%d\n", i, i, i, i%300, i%300, i%300, i%300); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
	if _, p, ok := d.Basic("ann"); !ok || p.String() != annHash {
		t.Error("ann is gone")
	}
}

// FuzzLine: no line makes it panic, and one that is taken is taken with a consumer.
func FuzzLine(f *testing.F) {
	f.Add("api_key=" + FormatHash(Hash("one")) + " consumer=acme id=a name=\"a b\" groups=a,b tags=c scopes=d expires=2027-01-31")
	f.Add("basic=ann:" + annHash + " consumer=beta # comment")
	f.Add(`mtls="subject:CN=a, O=b" consumer="a" name="\"\\"`)
	f.Fuzz(func(t *testing.T, text string) {
		b := NewBuilder()
		if err := b.ReadFile("f", strings.NewReader(text)); err != nil {
			return
		}
		d := b.Build()
		for l, c := range d.Credentials() {
			if c.Consumer == nil || checkID(c.Consumer.ID) != nil || checkLabel(c.ID) != nil || checkName(c.Consumer.Name) != nil || l.Kind == "" {
				t.Errorf("%+v", c)
			}
		}
	})
}
