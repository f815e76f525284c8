package jsonedit

import "testing"

func TestInUTF8(t *testing.T) {
	f := func(contentType string, want bool) {
		t.Helper()
		if got := InUTF8(contentType); got != want {
			t.Errorf("%q: %v", contentType, got)
		}
	}
	f("", true)
	f("application/json", true)
	f("application/json;", true)
	f("application/json; charset=utf-8", true)
	f("application/json;Charset=UTF8 ; v=1", true)
	f(`application/json ; charset="Utf-8"`, true)
	f("application/json; profile=utf-16", true)
	f("application/json; charset=utf-7", false)
	f("application/json; charset=utf-16le", false)
	f("application/json; charset=", false)
	f("application/json; charset", false)
	f("application/json; charset=utf-8; charset=utf-7", false)
	f("application/json;charset*=us-ascii''utf-7", false)
	f(`application/json; charset="utf\-7"`, false)
	f(`application/json; charset="utf-8`, false)
	f(`application/json; a="b;charset=utf-7"`, false) // nobody writes so who has nothing in mind
	f("application/json;\tcharset = utf-7", false)
}
