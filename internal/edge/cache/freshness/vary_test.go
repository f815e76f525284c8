package freshness

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
)

// RFC 9110 §12.5.5.
func TestVary(t *testing.T) {
	var many []string
	for i := range MaxVary {
		many = append(many, fmt.Sprintf("f%02d", i))
	}
	for _, test := range []struct {
		lines []string
		want  []string
		all   bool
	}{
		{nil, nil, false},
		{[]string{""}, nil, false},
		{[]string{"Foo"}, []string{"foo"}, false},
		{[]string{"Foo, bar ,\tBAZ,,"}, []string{"bar", "baz", "foo"}, false},
		{[]string{"foo", "Foo, bar"}, []string{"bar", "foo"}, false},
		{[]string{"*"}, nil, true},
		{[]string{"*, *"}, nil, true},
		{[]string{", *"}, nil, true},
		{[]string{"", "*"}, nil, true},
		{[]string{"*, foo"}, nil, true},
		{[]string{"foo, *"}, nil, true},
		{[]string{"foo", "bar, *"}, nil, true},
		{[]string{"a b"}, nil, true},
		{[]string{"a:b"}, nil, true},
		{[]string{strings.Join(many, ", "), "f00"}, many, false},
		{[]string{strings.Join(many, ", "), "f99"}, nil, true},
	} {
		h := fields()
		for _, l := range test.lines {
			h.Add("Vary", l)
		}
		got, all := Vary(h, []string{"left", "over"})
		if all != test.all || !slices.Equal(got, test.want) && !all || varies(h) != all {
			t.Errorf("%q: %q %v", test.lines, got, all)
		}
	}
}

// RFC 9111 §4.1: what is the same is the same, and nothing else.
func TestAppendVariant(t *testing.T) {
	type pair struct {
		name, language string
		x, y           []string
		same           bool
	}
	field := func(name string) func(x, y string, same bool) pair {
		return func(x, y string, same bool) pair {
			p := pair{name: name, same: same}
			for _, l := range strings.Split(x, "|") {
				p.x = append(p.x, name+": "+l)
			}
			for _, l := range strings.Split(y, "|") {
				p.y = append(p.y, name+": "+l)
			}
			return p
		}
	}
	foo, lang, enc := field("Foo"), field("Accept-Language"), field("Accept-Encoding")
	in := func(language string, p pair) pair { p.language = language; return p }
	for _, p := range []pair{
		{"Foo", "", nil, nil, true},
		{"Foo", "", []string{"Foo: 1"}, nil, false},
		{"Foo", "", []string{"Foo: "}, nil, false},
		{"Foo", "", []string{"Foo: 1", "Bar: 1"}, []string{"Bar: 2", "fOO: 1"}, true},
		foo("1", "2", false),
		foo("1, 2", "1|2", true),
		foo("1,2", "1 ,\t2", true),
		foo("1,2", "2,1", false),
		foo("1 2", "12", false),
		foo("a", "A", false),
		foo(`"1, 2"`, `"1,2"`, false),
		foo(`"\", 2"`, `"\",2"`, false),
		foo(`"1, 2`, `"1,2`, true),
		foo("1,,2", "1,2", false),
		field("User-Agent")("a, b", "a,b", false),
		field("User-Agent")("a|b", "a,b", false),
		field("Cookie")("a=1; b=2", "a=1|b=2", true),
		field("Cookie")("a=1, 2", "a=1,2", false),
		field("Origin")("a", "b", false),
		lang("en, de", "de, en", true),
		lang("en, de", "eN, De", true),
		lang("en, de", "en ,   de", true),
		lang("en, de", "en|de", true),
		lang("en, de", "en", false),
		lang("en;q=0.5, de", "de;q=1.000, en;Q=0.50", true),
		lang("en;q=0.5, de", "de;q=0.5, en", false),
		lang("en, en", "en", true),
		lang("en, en;q=0.5", "en", false),
		lang("en;q=2", "en;q=2", true),
		lang("en;q=2", "EN;q=2", false), // no such weight: taken as it is
		lang("en;q=0.5;x", "EN;q=0.5;x", false),
		lang(strings.Repeat("a,", maxWeighted), strings.Repeat("A,", maxWeighted), true),
		lang(strings.Repeat("a,", maxWeighted+1), strings.Repeat("A,", maxWeighted+1), false),
		in("de", lang("en, de", "fr;q=0.5, de;q=1.0", true)),
		in("de", lang("en, de", "DE", true)),
		in("De", lang("en, dE", "de", true)),
		in("de", lang("en, de", "en, de;q=0.9", false)),
		in("de", lang("en, de", "de-AT", false)),
		in("de", lang("de;q=0", "de", false)),
		in("de", lang("en", "EN", true)),
		in("de, en", lang("de", "en", false)),
		in("", lang("de", "de, en", false)),
		enc("gzip, br", "br,gzip", true),
		enc("gzip, br", "GZIP;q=0.5|br;q=1.0", true),
		enc("gzip, br", "gzip", false),
		enc("gzip", "gzip, br;q=0", true),
		enc("gzip, *", "gzip, br;q=0, *", false),
		enc("gzip, *", "gzip, br, *", false),
		enc("gzip", "x-gzip", true),
		enc("gzip", "gzip, identity", true),
		enc("gzip", "gzip, identity;q=0.1", true),
		enc("gzip", "gzip, identity;q=0", false),
		enc("gzip", "gzip, *;q=0", false),
		enc("gzip, identity;q=0", "gzip, *;q=0", true),
		enc("gzip", "gzip, identity, *;q=0", true),
		enc("gzip", "gzip, *;q=0.1", false),
		enc("gzip, dcb", "gzip", false),
		enc("", "identity", true),
		enc("gzip;q=x", "gzip", false),
		{"Accept-Encoding", "", []string{"Accept-Encoding: "}, nil, false},
	} {
		names := []string{strings.ToLower(p.name)}
		x, y := AppendVariant(nil, names, fields(p.x...), p.language), AppendVariant(nil, names, fields(p.y...), p.language)
		if bytes.Equal(x, y) != p.same {
			t.Errorf("%q and %q, %q: %q and %q", p.x, p.y, p.language, x, y)
		}
	}
	// Values cannot flow into one another.
	two := []string{"bar", "foo"}
	if bytes.Equal(AppendVariant(nil, two, fields("Bar: 1", "Foo: 2"), ""), AppendVariant(nil, two, fields("Bar: 12", "Foo: "), "")) {
		t.Error("values flow together")
	}
	if got := AppendVariant([]byte("before"), two, fields("Foo: 2"), ""); string(got) != "before\x00\x00\x00\x00\x00\x01\x00\x00\x00\x012" {
		t.Errorf("%q", got)
	}
}

func TestLanguage(t *testing.T) {
	for want, lines := range map[string][]string{"de-AT": {"content-language: de-AT"}, "": {"Content-Language: de, en"}} {
		if got := Language(fields(lines...)); got != want {
			t.Errorf("%q: %q", lines, got)
		}
	}
	if Language(fields()) != "" || Language(fields("Content-Language: de", "Content-Language: en")) != "" || Language(fields("Content-Language: ")) != "" {
		t.Error("a language out of nothing")
	}
}

// The parts of a key can be read back, so no two lists of values make the same one.
func splitVariant(b []byte) (values []string, ok bool) {
	for len(b) > 0 {
		if len(b) < formLength {
			return nil, false
		}
		n := int(b[1])<<24 | int(b[2])<<16 | int(b[3])<<8 | int(b[4])
		if len(b) < formLength+n {
			return nil, false
		}
		values = append(values, string(b[:1])+string(b[formLength:formLength+n]))
		b = b[formLength+n:]
	}
	return values, true
}

func FuzzVary(f *testing.F) {
	f.Add("Accept-Encoding, foo", "gzip;q=0.5, br", "x, \"y, z\"", "de")
	f.Add("*", "", ",", "")
	f.Fuzz(func(t *testing.T, vary, x, y, language string) {
		h := fields()
		h.Add("Vary", vary)
		names, all := Vary(h, nil)
		if all {
			return
		}
		if len(names) > MaxVary || !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Fatalf("%q: %q", vary, names)
		}
		names = append(names, "accept-encoding", "accept-language", "cookie", "foo")
		a := &exchange.Fields{}
		for _, n := range names {
			a.Add(n, x)
			a.Add(n, y)
		}
		key := AppendVariant(nil, names, a, language)
		values, ok := splitVariant(key)
		if !ok || len(values) != len(names) {
			t.Fatalf("%q: %q", names, key)
		}
		if again := AppendVariant(nil, names, a, language); !bytes.Equal(again, key) {
			t.Fatal("not the same twice")
		}
		b := &exchange.Fields{}
		for i, n := range slices.Backward(names) { // the order of other fields does not count
			b.Add(n, x)
			b.Add(n, y)
			_ = i
		}
		if again := AppendVariant(nil, names, b, language); len(slices.Compact(slices.Clone(names))) == len(names) && !bytes.Equal(again, key) && !slices.Contains(names[:len(names)-4], "foo") &&
			!slices.Contains(names[:len(names)-4], "cookie") && !slices.Contains(names[:len(names)-4], "accept-language") && !slices.Contains(names[:len(names)-4], "accept-encoding") {
			t.Fatal("the order of fields counts")
		}
	})
}
