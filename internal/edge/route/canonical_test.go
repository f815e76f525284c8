package route

import (
	"net/url"
	"path"
	"strings"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// rawPaths draws paths rich in what the canonical form is about.
var rawPaths = rapid.Custom(func(t *rapid.T) string {
	pieces := rapid.SliceOfN(rapid.SampledFrom([]string{
		"/", "/", "/", ".", "..", "a", "b", ";", ";x=1", "%2e", "%2E", "%2f", "%5C", "%3b", "%41", "%7e", "%c3%A9", "%25", "%20", "|", "[",
	}), 0, 12).Draw(t, "pieces")
	return "/" + strings.Join(pieces, "")
})

// TestCanonicalProperties states what holds for every path that is accepted.
func TestCanonicalProperties(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		raw := rawPaths.Draw(t, "raw")
		if checkCanonical(t, raw) {
			accepted++
		}
	})
	if accepted == 0 {
		t.Error("no path was accepted: the test proved nothing")
	}
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

func checkCanonical(t fataler, raw string) (accepted bool) {
	t.Helper()
	scratch := append(make([]byte, 0, 3*len(raw)+4), "abc"...)
	c, ext, err := AppendCanonical(scratch, raw)
	if err != nil {
		if c != (Canonical{}) || string(ext) != "abc" {
			t.Fatalf("%q: refused, but gives %+v and scratch %q", raw, c, ext)
		}
		return false
	}
	if string(ext[:3]) != "abc" || unsafe.SliceData(ext) != unsafe.SliceData(scratch) {
		t.Fatalf("%q: scratch was moved or overwritten", raw)
	}
	again, ext, err := AppendCanonical(nil, c.Path)
	if err != nil || again.Path != c.Path || ext != nil || unsafe.StringData(again.Path) != unsafe.StringData(c.Path) {
		t.Fatalf("%q: %q is not canonical itself: %q, %v", raw, c.Path, again.Path, err)
	}
	if c.Path[0] != '/' || strings.Contains(c.Path, "//") {
		t.Fatalf("%q: %q has an empty segment", raw, c.Path)
	}
	for i := range len(c.Path) {
		if b := c.Path[i]; b != '/' && b != '%' && class[b] != plain {
			t.Fatalf("%q: %q holds %q raw", raw, c.Path, b)
		}
	}
	// An upstream that decodes slashes and drops path parameters must not climb.
	decoded, err := url.PathUnescape(c.Path)
	if err != nil {
		t.Fatalf("%q: %q does not decode: %v", raw, c.Path, err)
	}
	for _, s := range strings.FieldsFunc(decoded, func(r rune) bool { return r == '/' || r == '\\' }) {
		s, _, _ = strings.Cut(s, ";")
		if s == "." || s == ".." {
			t.Fatalf("%q: %q has a dot segment once decoded", raw, c.Path)
		}
	}
	// Where nothing stays encoded, the standard library must agree.
	if plainly, err := url.PathUnescape(raw); err == nil && !c.EncodedSlash && !strings.ContainsAny(c.Path, "%;") {
		want := path.Clean(plainly)
		if want != "/" && strings.HasSuffix(c.Path, "/") {
			want += "/"
		}
		if raw != "" && c.Path != want {
			t.Fatalf("%q: got %q, path.Clean gives %q", raw, c.Path, want)
		}
	}
	return true
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"", "/", "/a/../b", "/..;/", "/a%2f..", "//", "/%", "/%zz", "/é", "/a|b", "/%252e", "/;%3b%2F."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) { checkCanonical(t, raw) })
}

func TestCanonicalReturnsInput(t *testing.T) {
	for _, raw := range []string{"/", "/a/b", "/.well-known/x", "/a;x/%C3%A9", "/a%2Fb", "/...", "/a/..b"} {
		c, ext, err := AppendCanonical(nil, raw)
		if err != nil || ext != nil || unsafe.StringData(c.Path) != unsafe.StringData(raw) {
			t.Errorf("%q is canonical and was not returned itself: %q, scratch %q, %v", raw, c.Path, ext, err)
		}
	}
}
