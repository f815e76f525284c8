package purge

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// thing is an object as rules see it, for the model.
type thing struct {
	url       string
	tags      []string
	requested int64
	checked   atomic.Uint64
}

// verdict is the obviously right one: all rules that ever were are looked at.
func verdict(rules []Rule, o *thing) Verdict {
	v := Fine
	for _, r := range rules {
		if o.requested > r.At {
			continue
		}
		is := false
		switch r.Kind {
		case URL:
			is = o.url == r.Text
		case Resource:
			base, _, _ := strings.Cut(o.url, "?")
			is = base == r.Text
		case Prefix:
			is = strings.HasPrefix(o.url, r.Text)
		case Tag:
			for _, t := range o.tags {
				is = is || t == r.Text
			}
		case All:
			is = true
		}
		if is && !r.Soft {
			return Gone
		}
		if is {
			v = Soft
		}
	}
	return v
}

var (
	urls = []string{"https://a/", "https://a/x", "https://a/x?1", "https://a/x?2", "https://a/xy", "https://a/x/y", "https://b/", "https://b/x", "http://a/x"}
	tags = []string{"s", "S", "t", "u"}
)

func genRule(t *rapid.T, now int64) Rule {
	r := Rule{Kind: Kind(rapid.IntRange(0, 40).Draw(t, "kind")), Soft: rapid.Bool().Draw(t, "soft")}
	if r.Kind != All {
		r.Kind %= All
	}
	switch r.Kind {
	case URL:
		r.Text = rapid.SampledFrom(urls).Draw(t, "url")
	case Resource:
		r.Text = strings.Split(rapid.SampledFrom(urls).Draw(t, "url"), "?")[0]
	case Prefix:
		r.Text = rapid.SampledFrom(urls).Draw(t, "prefix")
	case Tag:
		r.Text = rapid.SampledFrom(tags).Draw(t, "tag")
	}
	r.At = now - rapid.Int64Range(0, 5).Draw(t, "late") // rules of other gateways come late
	return r
}

// Whatever is added, looked at, saved and loaded in whichever order: an object is judged as all rules that ever were judge it.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, now := &List{}, int64(100)
		var rules []Rule
		var things []*thing
		check := func(o *thing) {
			want := verdict(rules, o)
			if got := l.Check(o.url, o.tags, o.requested, &o.checked); got != want {
				t.Fatalf("%s %v asked for at %d: %v, want %v\nall %v\nin force %v", o.url, o.tags, o.requested, got, want, rules, l.Rules())
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				r := genRule(t, now)
				if r.Number = l.Add(r); r.Number == 0 || r.Number > l.Newest() {
					t.Fatalf("number %d of %d", r.Number, l.Newest())
				}
				rules = append(rules, r)
			},
			"store": func(t *rapid.T) {
				things = append(things, &thing{url: rapid.SampledFrom(urls).Draw(t, "url"), tags: rapid.SliceOfN(rapid.SampledFrom(tags), 0, 2).Draw(t, "tags"),
					requested: now - rapid.Int64Range(0, 5).Draw(t, "before")})
			},
			"look": func(t *rapid.T) {
				if len(things) > 0 {
					check(rapid.SampledFrom(things).Draw(t, "thing"))
				}
			},
			"time": func(*rapid.T) { now++ },
			"restart": func(t *rapid.T) {
				b := l.Encode(nil)
				l = &List{}
				if err := l.Decode(b); err != nil {
					t.Fatal(err)
				}
				for _, o := range things {
					o.checked.Store(0)
				}
			},
			"retire": func(t *rapid.T) {
				// A sweep: what is gone is taken away, the others have their mark; nothing older comes any more.
				swept, kept := l.Newest(), things[:0]
				for _, o := range things {
					want := verdict(rules, o)
					if got := l.Check(o.url, o.tags, o.requested, &o.checked); got != want {
						t.Fatalf("%v, want %v", got, want)
					}
					if want != Gone {
						kept = append(kept, o)
					}
				}
				things = kept
				oldest := now - 6
				for _, o := range things {
					oldest = min(oldest, o.requested-1)
				}
				l.Retire(swept, now-6, oldest)
			},
			"": func(*rapid.T) {
				for _, o := range things {
					check(o)
				}
				if l.Collapsed() != 0 {
					t.Fatal("collapsed with room left")
				}
			},
		})
	})
}

// With more rules than there is room for, more may be gone than asked for, never less.
func TestFull(t *testing.T) {
	full := &List{}
	var added []Rule
	for i := range MaxRules + 50 {
		r := Rule{Kind: Kind(i % 4), Text: fmt.Sprintf("https://h%d/%d", i%3, i), At: int64(i), Soft: i%5 == 0}
		if r.Kind == Tag {
			r.Text = fmt.Sprint("tag", i)
		}
		r.Number = full.Add(r)
		added = append(added, r)
	}
	if n := len(full.Rules()); n > MaxRules || n < MaxRules/2 || full.Collapsed() == 0 {
		t.Fatalf("%d rules, %d collapsed", n, full.Collapsed())
	}
	encoded := full.Encode(nil)
	rapid.Check(t, func(t *rapid.T) {
		l, rules := &List{}, slices.Clone(added)
		if err := l.Decode(encoded); err != nil {
			t.Fatal(err)
		}
		things := make([]thing, 100)
		for j := range things {
			i := rapid.IntRange(0, MaxRules+70).Draw(t, "i")
			o := &things[j]
			o.url, o.tags = fmt.Sprintf("https://h%d/%d", rapid.IntRange(0, 3).Draw(t, "host"), i), []string{fmt.Sprint("tag", i)}
			o.requested = rapid.Int64Range(0, MaxRules+60).Draw(t, "requested")
		}
		for range 10 {
			r := genRule(t, 60)
			r.Number = l.Add(r)
			rules = append(rules, r)
			last := uint64(0)
			for _, r := range l.Rules() {
				if r.Number <= last {
					t.Fatalf("%d after %d", r.Number, last)
				}
				last = r.Number
			}
			for i := range things {
				o := &things[i]
				if got, want := l.Check(o.url, o.tags, o.requested, &o.checked), verdict(rules, o); got < want {
					t.Fatalf("%v, want %v at least", got, want)
				}
			}
		}
	})
}

// A collapsed rule takes the place of those it was made of, not of what is added later: objects may have been compared with those alone.
func TestCollapsedCoversNothingNew(t *testing.T) {
	l := &List{}
	for i := range MaxRules {
		l.Add(Rule{Kind: Tag, Text: fmt.Sprint("t", i), At: 1000})
	}
	o := &thing{url: "https://a/", tags: []string{"late"}, requested: 500}
	if v := l.Check(o.url, o.tags, o.requested, &o.checked); v != Fine {
		t.Fatal(v)
	}
	l.Add(Rule{Kind: Tag, Text: "more", At: 1000})
	if l.Collapsed() != 1 || l.Rules()[0].Kind != All {
		t.Fatal(l.Rules()[0])
	}
	if v := l.Check(o.url, o.tags, o.requested, &o.checked); v != Fine {
		t.Fatal(v)
	}
	l.Add(Rule{Kind: Tag, Text: "late", At: 900})
	if v := l.Check(o.url, o.tags, o.requested, &o.checked); v != Gone {
		t.Error("the late rule was taken for covered")
	}
}

// A rule that came after the two that become one stays, though it is for an earlier time: an object may have been compared with those two and not
// with it.
func TestCollapseKeepsLater(t *testing.T) {
	l := &List{}
	l.Add(Rule{Kind: Tag, Text: "a", At: 10})
	l.Add(Rule{Kind: Tag, Text: "b", At: 10})
	var checked atomic.Uint64
	if v := l.Check("https://a/", []string{"c"}, 4, &checked); v != Fine {
		t.Fatal(v)
	}
	l.Add(Rule{Kind: Tag, Text: "c", At: 5})
	l.put(collapse(l.load()))
	if v := l.Check("https://a/", []string{"c"}, 4, &checked); v != Gone || len(l.Rules()) != 2 {
		t.Error(v, l.Rules())
	}
}

func TestLongTexts(t *testing.T) {
	l := &List{}
	for i := range 2 * MaxBytes / MaxText {
		l.Add(Rule{Kind: URL, Text: "https://a/" + strings.Repeat("x", MaxText-20) + fmt.Sprint(i), At: 1})
	}
	n := 0
	for _, r := range l.Rules() {
		n += len(r.Text)
	}
	if n > MaxBytes || n < MaxBytes/2 {
		t.Errorf("%d bytes", n)
	}
	o := thing{url: "https://a/" + strings.Repeat("x", MaxText-20) + "0", requested: 1}
	if v := l.Check(o.url, nil, 1, &o.checked); v != Gone {
		t.Error(v)
	}
}

func TestRepeated(t *testing.T) {
	l := &List{}
	for i := range 10 {
		l.Add(Rule{Kind: Tag, Text: "a", At: int64(i)})
	}
	l.Add(Rule{Kind: Tag, Text: "a", At: 5, Soft: true})
	l.Add(Rule{Kind: URL, Text: "https://a/x", At: 3})
	l.Add(Rule{Kind: Prefix, Text: "https://a/", At: 20})
	if got := fmt.Sprint(l.Rules()); got != "[{10 tag a false 9 false} {12 prefix https://a/ false 20 false}]" {
		t.Error(got)
	}
	r, ok := l.Find("https://a/y", []string{"a"}, 7)
	if !ok || r.Kind != Prefix {
		t.Error(r, ok)
	}
	if _, ok := l.Find("https://a/y", []string{"a"}, 21); ok {
		t.Error("found")
	}
	l.Add(Rule{Kind: All, At: 30})
	if len(l.Rules()) != 1 {
		t.Error(l.Rules())
	}
}

// What is looked at while rules come is judged by each rule at the latest when Add has returned.
func TestConcurrent(t *testing.T) {
	l := &List{}
	o := &thing{url: "https://a/x", tags: []string{"z"}, requested: 1}
	var added atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				was := added.Load()
				v := l.Check(o.url, o.tags, o.requested, &o.checked)
				if was {
					if v != Gone {
						t.Error("not gone")
					}
					return
				}
			}
		})
	}
	for i := range 3000 {
		l.Add(Rule{Kind: Tag, Text: fmt.Sprint(i), At: 5})
		if i%100 == 0 {
			l.Retire(l.Newest(), 5, 5)
		}
	}
	l.Add(Rule{Kind: Tag, Text: "z", At: 5})
	added.Store(true)
	wg.Wait()
}

func TestCheckCost(t *testing.T) {
	l := &List{}
	l.Add(Rule{Kind: Tag, Text: "soft", Soft: true, At: 5})
	for i := range 1000 {
		l.Add(Rule{Kind: Prefix, Text: fmt.Sprint("https://a/", i), At: 5})
	}
	var checked atomic.Uint64
	if n := testing.AllocsPerRun(10, func() { l.Check("https://b/", tags, 1, &checked) }); n != 0 {
		t.Error(n, "allocations")
	}
	if checked.Load()>>1 != l.Newest() {
		t.Error("not noted")
	}
}

func BenchmarkCheckNothingNew(b *testing.B) {
	l := &List{}
	for i := range 1000 {
		l.Add(Rule{Kind: Prefix, Text: fmt.Sprint("https://a/", i), At: 5})
	}
	var checked atomic.Uint64
	for b.Loop() {
		l.Check("https://b/orders/17", tags, 1, &checked)
	}
}

func BenchmarkCheckThousandNew(b *testing.B) {
	l := &List{}
	for i := range 1000 {
		l.Add(Rule{Kind: Kind(i % 4), Text: fmt.Sprint("https://a/orders/", i), At: 5})
	}
	for b.Loop() {
		var checked atomic.Uint64
		l.Check("https://a/orders/x", tags, 1, &checked)
	}
}

func BenchmarkAddFull(b *testing.B) {
	l := &List{}
	for i := 0; b.Loop(); i++ {
		l.Add(Rule{Kind: URL, Text: fmt.Sprint("https://a/orders/", i), At: int64(i)})
	}
}

func TestForURL(t *testing.T) {
	upper := func(raw string) (string, error) {
		if strings.Contains(raw, "..") {
			return "", errors.New("dots")
		}
		return strings.ReplaceAll(raw, "%7e", "~"), nil
	}
	f := func(text, want string) {
		t.Helper()
		r, err := ForURL(text, upper)
		got := r.Kind.String() + " " + r.Text
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || err == nil && got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
	f("https://a", "url https://a/")
	f("HTTPS://API.Example.com:443/A", "url https://api.example.com/A")
	f("http://a:80", "url http://a/")
	f("http://a:443/x", "url http://a:443/x")
	f("https://a:80/x?", "url https://a:80/x?")
	f("https://a?q=1", "url https://a/?q=1")
	f("https://a/x?q=ü v", "url https://a/x?q=%C3%BC%20v")
	f("https://a/ü/%7e", "url https://a/%C3%BC/~")
	f("https://a/x?*", "resource https://a/x")
	f("https://a?*", "resource https://a/")
	f("https://a/x*", "url https://a/x*")
	f("https://a/x?*b", "url https://a/x?*b")
	f("http://[2001:DB8::1]:8080/", "url http://[2001:db8::1]:8080/")
	f("https://a/x?y?*", "a query comes before ?*")
	f("a/x", "write scheme, host and path")
	f("ftp://a/x", "does not begin with http://")
	f("https:///x", "it has no host")
	f("https://u:p@a/x", "name or password")
	f("https://a/x#y", "fragment")
	f("https://a:0/", `port is "0"; 1 to 65535`)
	f("https://a:65536/", "1 to 65535")
	f("https://a:+1/", "1 to 65535")
	f("https://a:/", "1 to 65535")
	f("https://[::1/", "IPv6 address in brackets")
	f("https://bücher/", "xn--")
	f("https://a b/", "letters, digits")
	f("https://a/..", "refused as one in a request would be: dots")
	f("https://a/\r\n", "control character 0x0d in it at byte 11")
	f("https://a/"+strings.Repeat("x", MaxText), "at most 8192")
	if _, err := ForURL("https://a/"+strings.Repeat("x", MaxText), nil); len(err.Error()) > 300 {
		t.Error("an error repeats it all")
	}

	g := func(r Rule, err error) string {
		if err != nil {
			return err.Error()
		}
		return r.Kind.String() + " " + r.Text
	}
	for _, c := range []struct{ got, want string }{
		{g(ForPrefix("https://A", nil)), "prefix https://a/"},
		{g(ForPrefix("https://a/x", nil)), "prefix https://a/x"},
		{g(ForPrefix("https://a/x?y=", nil)), "prefix https://a/x?y="},
		{g(ForPrefix("https://a/x*", nil)), "leave that out"},
		{g(ForPrefix("/x", nil)), "does not begin with"},
		{g(ForTag("a-1:B")), "tag a-1:B"},
		{g(ForTag("")), "it is empty"},
		{g(ForTag("a b")), `there is " " in it`},
		{g(ForTag("a,b")), `there is "," in it`},
		{g(ForTag("ü")), "visible ASCII"},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}

// A canonical URL is its own canonical form.
func TestCanonicalTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`(https?|HTTP)://[a-zA-Z0-9.:\[\]@-]{0,12}(/[ -~ü]{0,10})?(\?[ -~]{0,5})?`).Draw(t, "url")
		once, err := Canonical(text, nil)
		if err != nil {
			return
		}
		if twice, err := Canonical(once, nil); twice != once || err != nil {
			t.Fatalf("%q, then %q %v", once, twice, err)
		}
	})
}

func TestFile(t *testing.T) {
	dir, l := t.TempDir(), &List{}
	if err := l.Load(dir); err != nil || l.Newest() != 0 {
		t.Fatal(err)
	}
	l.Add(Rule{Kind: URL, Text: "https://a/x", At: 5})
	l.Add(Rule{Kind: Tag, Text: "\n \"", At: 6, Soft: true})
	l.Add(Rule{Kind: Prefix, Text: "https://a/", At: -1})
	for range 2 {
		if err := l.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 {
		t.Error("something is left behind", entries)
	}
	if i, _ := os.Stat(filepath.Join(dir, File)); i.Mode() != 0o600 {
		t.Error(i.Mode())
	}
	m := &List{}
	if err := m.Load(dir); err != nil || fmt.Sprint(m.Rules()) != fmt.Sprint(l.Rules()) || m.Newest() != 3 {
		t.Error(err, m.Rules())
	}
	good := l.Encode(nil)
	for i := range good {
		for _, b := range [][]byte{good[:i], append(append(append([]byte{}, good[:i]...), good[i]^1), good[i+1:]...)} {
			if err := new(List).Decode(b); err == nil {
				t.Errorf("taken though damaged at %d", i)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, File), good[1:], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := new(List).Load(dir); err == nil || !strings.Contains(err.Error(), File+": it is damaged") {
		t.Error(err)
	}
	if err := l.Save(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("no error")
	}
}

func FuzzDecode(f *testing.F) {
	l := &List{}
	l.Add(Rule{Kind: URL, Text: "https://a/x", At: 5})
	f.Add(l.Encode(nil))
	f.Add([]byte("5 tag hard \"a\""))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = new(List).Decode(b)
		if r, err := Read(string(b)); err == nil {
			if again, err := Read(string(r.Append(nil))); err != nil || again != r {
				t.Errorf("%v %v %v", r, again, err)
			}
		}
	})
}
