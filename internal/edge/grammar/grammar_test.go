package grammar

import (
	"net/url"
	"strings"
	"testing"
)

// What is a class of bytes is written out once more, as the RFCs have it.
func TestBytes(t *testing.T) {
	const (
		lower   = "abcdefghijklmnopqrstuvwxyz"
		upper   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		digits  = "0123456789"
		marks   = "!#$%&'*+-.^_`|~" // RFC 9110 §5.6.2
		hex     = digits + "abcdefABCDEF"
		name    = digits + lower + upper + "-._~" // RFC 3986 §2.3
		visible = digits + lower + upper + "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
	)
	for c := range 256 {
		b := string([]byte{byte(c)})
		for _, test := range []struct {
			name string
			got  bool
			of   string
		}{
			{"IsTokenByte", IsTokenByte(byte(c)), digits + lower + upper + marks},
			{"IsToken", IsToken("a" + b), digits + lower + upper + marks},
			{"IsLowerToken", IsLowerToken("a" + b), digits + lower + marks},
			{"IsHexDigit", IsHexDigit(byte(c)), hex},
			{"IsVisible", IsVisible("/" + b), visible},
		} {
			if want := strings.Contains(test.of, b); test.got != want {
				t.Errorf("%s(%q): got %v", test.name, b, test.got)
			}
		}
		if _, _, ok := SplitHost("a" + b + "a"); ok != strings.Contains(name, b) {
			t.Errorf("a host with %q: got %v", b, ok)
		}
	}
	if IsToken("") || IsLowerToken("") {
		t.Error("nothing is taken for a token")
	}
}

// A control character has to be found wherever it stands, since eight bytes are looked at together.
func TestIsValue(t *testing.T) {
	for size := range 40 {
		value := []byte(strings.Repeat("\xffé~ \t\x80", 40))[:size]
		if !IsValue(string(value)) {
			t.Errorf("%q: refused", value)
		}
		for at := range value {
			kept := value[at]
			for c := range 256 {
				value[at] = byte(c)
				want := c >= 0x20 && c != 0x7f || c == '\t'
				if IsValue(string(value)) != want {
					t.Errorf("byte %#x at %d of %d: got %v", c, at, size, !want)
				}
			}
			value[at] = kept
		}
	}
}

// White space around a value: HTTP/1 takes it off, HTTP/2 does not have it.
func TestWhiteSpaceAround(t *testing.T) {
	for _, value := range []string{"", "a", "a b", "a\tb", "é", "0123456789"} {
		if !IsTrimmedValue(value) || TrimSpace(value) != value {
			t.Errorf("%q: not as it is", value)
		}
		for _, space := range []string{" ", "\t", " \t "} {
			for _, around := range []string{space + value, value + space, space + value + space} {
				if IsTrimmedValue(around) || !IsValue(around) || TrimSpace(around) != value {
					t.Errorf("%q: %v, %v, trimmed to %q", around, IsTrimmedValue(around), IsValue(around), TrimSpace(around))
				}
			}
		}
		if IsTrimmedValue("a" + value + "\x01a") {
			t.Errorf("%q with a control character: accepted", value)
		}
	}
	if got := TrimSpace("\v a\u00a0"); got != "\v a\u00a0" {
		t.Errorf("other space is trimmed: %q", got)
	}
}

func TestFoldIs(t *testing.T) {
	for _, s := range []string{"chunked", "Chunked", "CHUNKED"} {
		if !FoldIs(s, "chunked") {
			t.Errorf("%q is not chunked", s)
		}
	}
	for _, s := range []string{"", "chunke", "chunkedd", "chun\u212aed", "CHUN+ED"} {
		if FoldIs(s, "chunked") {
			t.Errorf("%q is chunked", s)
		}
	}
	if FoldIs("[", "{") || FoldIs("@", "`") { // 0x20 apart and no letters
		t.Error("a mark is taken for another")
	}
}

func TestNextElement(t *testing.T) {
	for list, want := range map[string]string{
		"": "", ",": "", " \t": "", " , ,\t,": "", "a": "a", "a,b": "a|b", ",a": "a", "a,": "a", " a ,\tb c\t, ,d": "a|b c|d",
		"a;q=1,\"b,c\"": "a;q=1|\"b|c\"",
	} {
		var got []string
		for element, rest, ok := NextElement(list); ok; element, rest, ok = NextElement(rest) {
			got = append(got, element)
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%q: got %q, want %q", list, got, want)
		}
	}
}

func TestDecimal(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "5": 5, "007": 7, "999999999999999999": 999999999999999999, "000000000000000001": 1,
		"": -1, "1000000000000000000": -1, "+5": -1, "-5": -1, "-0": -1, " 5": -1, "5 ": -1, "0x5": -1, "5.0": -1, "5,5": -1, "٣": -1, "/": -1, ":": -1,
	} {
		got, ok := Decimal(text)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}

func TestSplitQuery(t *testing.T) {
	for target, want := range map[string]string{"/": "/|", "/a?": "/a|", "/a?b": "/a|b", "/a?b?c": "/a|b?c", "?": "|", "": "|"} {
		if path, query := SplitQuery(target); path+"|"+query != want {
			t.Errorf("%q: got %q and %q, want %q", target, path, query, want)
		}
	}
}

// hosts are values of Host and what they are taken for, empty when refused. Which of them the wires refuse, their own tests show too.
var hosts = []struct{ text, want string }{
	{"a", "a|"}, {"a.b:80", "a.b|80"}, {"A.Example", "a.example|"}, {"a.b.:1", "a.b|1"}, {"a.b:00080", "a.b|00080"}, {"a:0", "a|0"},
	{"127.0.0.1:8", "127.0.0.1|8"}, {"a_b-c~d", "a_b-c~d|"}, {"[::1]", "[::1]|"}, {"[2001:DB8::A]:65535", "[2001:db8::a]|65535"},
	{"[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]|"}, {"[::]", "[::]|"},
	{strings.Repeat("a.", 126) + "a", strings.Repeat("a.", 126) + "a|"}, {strings.Repeat("a.", 126) + "a.:1", strings.Repeat("a.", 126) + "a|1"},
	{strings.Repeat("a.", 126) + "aa", ""},
	{"", ""}, {".", ""}, {"..", ""}, {".a", ""}, {"a..", ""}, {"a..b", ""}, {":", ""}, {":80", ""}, {".:80", ""},
	{"a:", ""}, {"a:65536", ""}, {"a:000080", ""}, {"a:+80", ""}, {"a:b", ""}, {"a:1:2", ""}, {"a: 1", ""}, {"a:99999999999999999999", ""},
	{"::1", ""}, {"[", ""}, {"]", ""}, {"[]", ""}, {"[:]", ""}, {"[::1", ""}, {"::1]", ""}, {"[::1]a", ""}, {"[::1]:", ""}, {"[::1]80", ""},
	{"[::1]:a", ""}, {"[::1].", ""}, {"[::1]]", ""}, {"[[::1]]", ""}, {"[::1]:[::1]", ""}, {"[fe80::1%25eth0]", ""}, {"[fe80::1%eth0]", ""},
	{"[:::::]", ""}, {"[1.2.3.4]", ""}, {"[v1.a]", ""}, {"[a]", ""}, {"a[::1]", ""},
	{"u@a", ""}, {"a/b", ""}, {"a\\b", ""}, {"a b", ""}, {"a,b", ""}, {"a%20b", ""}, {"é", ""}, {"a\x00", ""}, {" a", ""}, {"a\t", ""}, {"*", ""},
}

func TestSplitHost(t *testing.T) {
	for _, test := range hosts {
		host, port, ok := SplitHost(test.text)
		got := ""
		if ok {
			got = host + "|" + port
		} else if host+port != "" {
			t.Errorf("%q: refused, and %q returned", test.text, host+port)
		}
		if got != test.want {
			t.Errorf("%q: got %q, want %q", test.text, got, test.want)
		}
	}
}

// What SplitHost accepts is in its one form, and an endpoint's reader takes it for the same.
func FuzzSplitHost(f *testing.F) {
	for _, test := range hosts {
		f.Add(test.text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, port, ok := SplitHost(s)
		if !ok {
			return
		}
		again := host
		if port != "" {
			again += ":" + port
		}
		if h, p, ok := SplitHost(again); !ok || h != host || p != port {
			t.Fatalf("%q is taken for %q and that for %q, %q, %v", s, again, h, p, ok)
		}
		if strings.ToLower(host) != host || strings.HasSuffix(host, ".") {
			t.Fatalf("%q: %q is not the one form", s, host)
		}
		u, err := url.Parse("http://" + s + "/")
		if err != nil {
			t.Fatalf("net/url refuses %q: %v", s, err)
		}
		if u.Port() != port || u.User != nil || strings.TrimSuffix(strings.ToLower(u.Hostname()), ".") != strings.Trim(host, "[]") {
			t.Fatalf("%q: %q and %q here, %q and %q in net/url", s, host, port, u.Hostname(), u.Port())
		}
	})
}

func TestAppendLower(t *testing.T) {
	if host, ext := AppendLower(nil, "a.b"); host != "a.b" || ext != nil {
		t.Errorf("got %q, %q", host, ext)
	}
	room := append(make([]byte, 0, 16), "kept"...)
	host, ext := AppendLower(room, "a.B@[Z")
	if host != "a.b@[z" || string(ext) != "kepta.b@[z" || &ext[0] != &room[0] {
		t.Errorf("got %q, %q", host, ext)
	}
}

// Only a host in capitals costs memory, and that once.
func TestAllocations(t *testing.T) {
	for host, want := range map[string]float64{"api.example.com.:443": 0, "[2001:db8::a]:80": 0, "API.example.com:443": 1, "[2001:DB8::A]": 1} {
		if got := testing.AllocsPerRun(100, func() { SplitHost(host) }); got != want {
			t.Errorf("%q: %v allocations, want %v", host, got, want)
		}
	}
}
