package document

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the expected parts of testdata")

// sample has a field of every kind.
type sample struct {
	Word    string            `yaml:"word" default:"a" enum:"a,bee,sea"`
	Text    string            `yaml:"text" length:"0..8"`
	Lines   string            `yaml:"lines,multiline"`
	Name    string            `yaml:"name" pattern:"^[a-z]+$" form:"small letters"`
	On      bool              `yaml:"on" default:"true"`
	Count   int               `yaml:"count" default:"3" range:"1..10"`
	Byte    uint8             `yaml:"byte"`
	Ratio   float64           `yaml:"ratio" range:"0..1"`
	Wait    Duration          `yaml:"wait" default:"5s" range:"0|1s..1h"`
	Maybe   *Duration         `yaml:"maybe"`
	Size    Size              `yaml:"size" default:"64KiB"`
	Rate    Rate              `yaml:"rate" default:"10/m"`
	Share   Percent           `yaml:"share" default:"20%"`
	Key     Secret            `yaml:"key"`
	Nets    []Prefix          `yaml:"nets,one"`
	Addr    Addr              `yaml:"addr"`
	Map     map[string]string `yaml:"map" length:"0..2"`
	Keyed   []item            `yaml:"keyed,keyed" pattern:"^[a-z]+$" form:"small letters"`
	Items   []item            `yaml:"items"`
	Off     *switchable       `yaml:"off"`
	Blocks  []block           `yaml:"blocks"`
	Raw     Node              `yaml:"raw"`
	Node    Node              `yaml:",self"`
	Ignored chan int          `yaml:"-"`
}

type item struct {
	Name  string   `yaml:",key"`
	Value int      `yaml:"value,short" required:"true"`
	A     string   `yaml:"a"`
	B     string   `yaml:"b"`
	_     struct{} `atmost:"a,b"`
}

type switchable struct {
	Off  bool     `yaml:",off"`
	Time Duration `yaml:"time" default:"1s"`
}

type block struct {
	Name    string `yaml:",key"`
	Options Node   `yaml:",value"`
}

// TestScripts runs testdata/*.txtar: "in" is decoded into a sample; "out" is its view, or the problems.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(script)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i+1 < len(archive.Files); i += 2 {
				in, want := archive.Files[i], &archive.Files[i+1]
				got := outcome(in.Data)
				if *update {
					want.Data = []byte(got)
				} else if string(want.Data) != got {
					t.Errorf("%s\nwant:\n%s\ngot:\n%s", in.Data, want.Data, got)
				}
			}
			if *update {
				if err := os.WriteFile(script, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

var sources = Sources{
	Getenv: func(name string) (string, bool) {
		v, ok := map[string]string{"FOUR": "4", "EMPTY": "", "TRUE": "true", "UNIT": "5hunter2", "LONG": strings.Repeat("x", 5000), "SECRET": "hunter2"}[name]
		return v, ok
	},
	ReadFile: func(path string) ([]byte, error) {
		switch path {
		case "dir/key":
			return []byte("from a file\n"), nil
		case "/big":
			return make([]byte, MaxSecret+1), nil
		}
		return nil, os.ErrNotExist
	},
}

func outcome(in []byte) string {
	in = bytes.ReplaceAll(in, []byte("\\x00"), []byte{0})
	in = bytes.ReplaceAll(in, []byte("\\xff"), []byte{0xff})
	d, err := Parse("dir/in", in, sources)
	var ps Problems
	ps.Add(err)
	var s sample
	if d != nil {
		ps.Add(d.Root().Decode(&s))
	}
	if ps.Len() > 0 {
		return ps.Excerpts() + "\n"
	}
	view, err := NewView(s, map[string]any{"known": sample{}}).YAML()
	if err != nil {
		return err.Error()
	}
	return string(view)
}

// TestBombs: what grows or nests without end is refused, in bounded time.
func TestBombs(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&laughs, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", "))
	}
	f := func(in, want string) {
		t.Helper()
		_, err := Parse("x", []byte(in), Sources{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %.200v, want %s", err, want)
		}
	}
	f(laughs.String(), "x:6:10: a5[0]: the aliases of this file add more than 100000 values")
	f(strings.Repeat("[", 100_000), "x:1:65: not YAML: nested deeper than 64 levels")
	f(strings.Repeat("{a: ", 100_000), "nested deeper than 64 levels")
	f(strings.Repeat("- ", 100_000), "nested deeper than 64 levels")
	f("a: &a [*a]", "x:1:8: a[0]: the alias *a stands inside what it refers to")
	f("a: &a {b: &b [*a, *b]}", "x:1:15: a.b[0]: the alias *a stands inside")
	f(strings.Repeat("x", MaxBytes+1), "x:1:1: the file has more than 16 MiB")
}

// TestPathFindsEveryNode: the path worked out from places leads back to the node.
func TestPathFindsEveryNode(t *testing.T) {
	const in = "a: [1, [2, {b: 3, c: }], {}]\n\"d.e\":\n  - f: &x {g: h}\n    i: *x\n  -\n  - |\n    text\n? j\n: k\n"
	d, err := Parse("x", []byte(in), Sources{})
	if err != nil {
		t.Fatal(err)
	}
	var walk func(n *node, path string)
	walk = func(n *node, path string) {
		if got := (Node{d, n}).Path(); got != path {
			t.Errorf("%d:%d: got %s, want %s", n.line, n.column, got, path)
		}
		switch n.kind {
		case kindList:
			for i := range n.kids {
				walk(&n.kids[i], fmt.Sprintf("%s[%d]", path, i))
			}
		case kindMapping:
			for i := 0; i < len(n.kids); i += 2 {
				below := strings.TrimPrefix(path+"."+pathKey(n.kids[i].value), ".")
				walk(&n.kids[i], below)
				walk(&n.kids[i+1], below)
			}
		}
	}
	walk(d.root, "")
}

func TestNodeLaterChecks(t *testing.T) {
	d, err := Parse("x", []byte("raw:\n  by: ip\n  list: [a, b]\n"), Sources{})
	if err != nil {
		t.Fatal(err)
	}
	var s sample
	if err := d.Root().Decode(&s); err != nil {
		t.Fatal(err)
	}
	f := func(p Problem, want string) {
		t.Helper()
		if p.Error() != want {
			t.Errorf("got %s, want %s", p, want)
		}
	}
	f(s.Raw.At("by").Errorf("no %s", "way"), "x:2:7: raw.by: no way")
	f(s.Raw.Key("by").Errorf("no"), "x:2:3: raw.by: no")
	f(s.Raw.At("list", 1).Errorf("no"), "x:3:13: raw.list[1]: no")
	f(s.Raw.At("gone", "deeper").Errorf("no"), "x:2:3: raw: no")
	f(s.Raw.At("by").Unknown("way", "ip", []string{"tip", "up"}), `x:2:7: raw.by: unknown way "ip"; allowed: tip, up; did you mean "tip"?`)
	f(Node{}.At("a", 1).Key("b").Errorf("no"), "no")
	var options struct {
		By   string   `yaml:"by" enum:"client_ip"`
		List []string `yaml:"list"`
	}
	if err := s.Raw.Decode(&options); err == nil || err.Error() != `x:2:7: raw.by: found "ip"; allowed: client_ip` {
		t.Error(err)
	}
	if len(options.List) != 2 {
		t.Error("what is right was not decoded")
	}
	var defaults sample
	if err := (Node{}).Decode(&defaults); err != nil || defaults.Wait.String() != "5s" {
		t.Error("the zero node does not decode to defaults")
	}
}

func TestUnits(t *testing.T) {
	good := func(s Scalar, text, want string) {
		t.Helper()
		if err := s.ParseText(text); err != nil || s.String() != want {
			t.Errorf("%s: got %s, %v, want %s", text, s, err, want)
		}
	}
	bad := func(s Scalar, text, want string) {
		t.Helper()
		if err := s.ParseText(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %s, %v, want %s", text, s, err, want)
		}
	}
	good(new(Duration), "1h30m", "1h30m")
	good(new(Duration), "90m", "1h30m")
	good(new(Duration), "1.5s", "1s500ms")
	good(new(Duration), "250ms", "250ms")
	good(new(Duration), "7us", "7us")
	good(new(Duration), "0", "0s")
	bad(new(Duration), "", "empty")
	bad(new(Duration), "5", "no unit")
	bad(new(Duration), "5sec", "did you mean s?")
	bad(new(Duration), "5S", `unit "S" is none of`)
	bad(new(Duration), "-5s", "negative")
	bad(new(Duration), "s", "does not start with a number")
	bad(new(Duration), "1h 5m", `unit "h "`)
	bad(new(Duration), "99999999999h", "longer than")
	bad(new(Duration), "999999999999999999999h", "too many digits")
	good(new(Size), "64KiB", "64KiB")
	good(new(Size), "10MB", "10000000")
	good(new(Size), "1048576", "1MiB")
	good(new(Size), "1.5KiB", "1536")
	good(new(Size), "0", "0")
	bad(new(Size), "1.5", "whole number of bytes")
	bad(new(Size), "10kb", "did you mean KiB?")
	bad(new(Size), "1KiB1", "single number")
	bad(new(Size), "9999999TiB", "more than")
	good(new(Rate), "0.5/s", "0.5/s")
	good(new(Rate), "100/m", "100/m")
	bad(new(Rate), "100", "in what time")
	bad(new(Rate), "100/sec", "did you mean s?")
	bad(new(Rate), "x/s", "does not start")
	bad(new(Rate), "1k/s", "plain number")
	good(new(Percent), "20%", "20%")
	good(new(Percent), "0.5%", "0.5%")
	bad(new(Percent), "20", "write 20%")
	bad(new(Percent), "20%%", "does not end")
	good(new(Prefix), "10.0.0.0/8", "10.0.0.0/8")
	good(new(Prefix), "10.0.0.1", "10.0.0.1/32")
	good(new(Prefix), "::ffff:10.0.0.0/104", "10.0.0.0/8")
	bad(new(Prefix), "10.0.0.1/8", "write 10.0.0.0/8 for the network or 10.0.0.1 for the address")
	bad(new(Prefix), "::ffff:0.0.0.0/90", "mixes")
	bad(new(Prefix), "fe80::1%eth0", "zone")
	good(new(Addr), "::ffff:1.2.3.4", "1.2.3.4")
	bad(new(Addr), "1.2.3", "no IP address")
}

// TestUnitsRoundTrip: what String writes, ParseText reads back, and the pattern of the schema allows.
func TestUnitsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64Range(0, int64(1e15)).Draw(t, "us") * 1000)
		var d2 Duration
		if err := d2.ParseText(d.String()); err != nil || d2 != d {
			t.Fatalf("%d: %s, %v", d, d, err)
		}
		s := Size(rapid.Int64Range(0, 1<<52).Draw(t, "bytes"))
		var s2 Size
		if err := s2.ParseText(s.String()); err != nil || s2 != s {
			t.Fatalf("%d: %s, %v", s, s, err)
		}
		text := rapid.StringOf(rapid.SampledFrom([]rune("$${}AB:-x"))).Draw(t, "text")
		back, expanded, err := (&Document{}).expand(escape(text))
		if err != nil || expanded || back != text {
			t.Fatalf("%q: %q, %v, %v", text, back, expanded, err)
		}
	})
}

func TestSuggest(t *testing.T) {
	f := func(word, want string, candidates ...string) {
		t.Helper()
		if got := Suggest(word, candidates); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
	f("evry", "every", "every", "rise")
	f("conections", "connections", "connections_per_client", "connections")
	f("usptreams", "upstreams", "upstreams")
	f("Least-Requests", "least_requests", "round_robin", "least_requests")
	f("x", "", "y")
	f("colour", "", "timeout")
	f("get", "", "get")
	f(strings.Repeat("a", 1000), "", strings.Repeat("a", 999))
}

func TestSecretIsNeverPrinted(t *testing.T) {
	s := NewSecret("hunter2")
	type holder struct {
		Open   Secret
		closed Secret
		List   []Secret
		Ptr    *Secret
	}
	h := holder{s, s, []Secret{s}, &s}
	var out []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%10s", "%T"} {
		out = append(out, fmt.Sprintf(verb, s), fmt.Sprintf(verb, &s), fmt.Sprintf(verb, h), fmt.Sprintf(verb, &h))
	}
	j, err := json.Marshal(h)
	if err != nil {
		t.Error(err)
	}
	y, err := yaml.Dump(map[string]any{"a": s, "b": &s})
	if err != nil {
		t.Error(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "a", s, "b", h)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "a", s, "b", h)
	out = append(out, string(j), string(y), log.String(), fmt.Sprint(fmt.Errorf("%w %v", os.ErrExist, s)))
	for _, text := range out {
		if strings.Contains(text, "hunter2") || strings.Contains(strings.ToLower(text), "68756e74657232") {
			t.Errorf("printed: %s", text)
		}
	}
	if s.Reveal() != "hunter2" || !s.Equal(NewSecret("hunter2")) || s.Equal(Secret{}) || s.Equal(NewSecret("x")) {
		t.Error("the secret itself is wrong")
	}
}

func TestProblemsAreBounded(t *testing.T) {
	in := "items:\n" + strings.Repeat("  - x\n", MaxProblems+5)
	d, err := Parse("x", []byte(in), Sources{})
	if err != nil {
		t.Fatal(err)
	}
	err = d.Root().Decode(new(sample))
	if ps := err.(*Problems); ps.Len() != MaxProblems || ps.Dropped() != 5 || !strings.HasSuffix(ps.Error(), "and 5 more problems") {
		t.Error(ps.Len(), ps.Dropped())
	}
}

// FuzzDecode: no bytes make us panic, and every problem has a place and a text.
func FuzzDecode(f *testing.F) {
	scripts, _ := filepath.Glob("testdata/*.txtar")
	for _, script := range scripts {
		if archive, err := txtar.ParseFile(script); err == nil {
			for i := 0; i < len(archive.Files); i += 2 {
				f.Add(archive.Files[i].Data)
			}
		}
	}
	f.Add([]byte("a: &a {b: &b [*a, *b]}\n? [x]\n: !!foo y\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		d, err := Parse("x", in, sources)
		if (d == nil) != (err != nil) && d == nil {
			t.Fatal("neither a document nor an error")
		}
		var ps Problems
		ps.Add(err)
		var s sample
		if d != nil {
			ps.Add(d.Root().Decode(&s))
			_ = d.Root().Any()
		}
		for _, p := range ps.All() {
			if p.File != "x" || p.Line < 1 || p.Column < 1 || p.Text == "" || strings.ContainsAny(p.Error(), "\n\r") {
				t.Errorf("%#v", p)
			}
		}
		_ = ps.Excerpts()
		if ps.Len() == 0 && s.Key.IsZero() {
			if _, err := NewView(s, nil).YAML(); err != nil {
				t.Error(err)
			}
		}
	})
}
