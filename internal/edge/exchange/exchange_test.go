package exchange

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/fault"
)

func TestLookup(t *testing.T) {
	seen := map[string]Known{}
	for k := Other + 1; k < numKnown; k++ {
		name := k.String()
		if name == "" {
			t.Fatalf("name %d has no spelling", k)
		}
		if twin, ok := seen[strings.ToLower(name)]; ok {
			t.Errorf("%s is both %d and %d", name, twin, k)
		}
		seen[strings.ToLower(name)] = k
		for _, spelling := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			if got := Lookup(spelling); got != k {
				t.Errorf("%s is looked up as %q", spelling, got)
			}
		}
		// One byte off is another name, whichever byte of all.
		for at := range name {
			for c := range 256 {
				near := name[:at] + string([]byte{byte(c)}) + name[at+1:]
				want := seen[strings.ToLower(near)]
				if got := Lookup(near); isToken(near) && got != want && !(want == Other && strings.EqualFold(got.String(), near)) {
					t.Errorf("%q is looked up as %q", near, got)
				}
			}
		}
		for _, near := range []string{name + "x", name[1:], name[:len(name)-1], " " + name} {
			if got := Lookup(near); got != Other && !strings.EqualFold(got.String(), near) {
				t.Errorf("%q is looked up as %q", near, got)
			}
		}
	}
	if Lookup("") != Other || Lookup(strings.Repeat("a", 1000)) != Other || Other.String() != "" {
		t.Error("what is no name has one")
	}
}

// isToken says whether a decoder would let a name through (RFC 9110 §5.6.2).
func isToken(s string) bool {
	return strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" && s != "" &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r) })
}

func fields(pairs ...string) *Fields {
	f := new(Fields)
	for i := 0; i < len(pairs); i += 2 {
		f.Add(pairs[i], pairs[i+1])
	}
	return f
}

func text(f *Fields) string {
	var s strings.Builder
	for _, field := range f.All() {
		if field.Known != Lookup(field.Name) {
			panic(fmt.Sprintf("BUG: %s is known as %q", field.Name, field.Known))
		}
		fmt.Fprintf(&s, "%s=%s ", field.Name, field.Value)
	}
	return strings.TrimSpace(s.String())
}

func TestFields(t *testing.T) {
	f := func(name string, change func(*Fields), want string) {
		t.Helper()
		list := fields("Host", "a", "X-A", "1", "accept", "b", "x-a", "2", "Accept", "c")
		change(list)
		if got := text(list); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		// What was removed must not be found behind the end either: it would pin a buffer.
		for _, gone := range list.list[len(list.list):cap(list.list)] {
			if gone != (Field{}) {
				t.Errorf("%s: %s is still held", name, gone.Name)
			}
		}
	}
	f("nothing", func(*Fields) {}, "Host=a X-A=1 accept=b x-a=2 Accept=c")
	f("set known", func(l *Fields) { l.Set(Accept, "d") }, "Host=a X-A=1 Accept=d x-a=2")
	f("set known, new", func(l *Fields) { l.Set(Date, "d") }, "Host=a X-A=1 accept=b x-a=2 Accept=c Date=d")
	f("set by name", func(l *Fields) { l.SetHeader("X-a", "3") }, "Host=a X-a=3 accept=b Accept=c")
	f("set by a known name", func(l *Fields) { l.SetHeader("ACCEPT", "d") }, "Host=a X-A=1 ACCEPT=d x-a=2")
	f("set by name, new", func(l *Fields) { l.SetHeader("X-B", "3") }, "Host=a X-A=1 accept=b x-a=2 Accept=c X-B=3")
	f("delete known", func(l *Fields) { l.Del(Accept) }, "Host=a X-A=1 x-a=2")
	f("delete by name", func(l *Fields) { l.DelHeader("x-A") }, "Host=a accept=b Accept=c")
	f("delete by a known name", func(l *Fields) { l.DelHeader("aCCEPT") }, "Host=a X-A=1 x-a=2")
	f("delete what is not there", func(l *Fields) { l.Del(Date); l.DelHeader("X-B") }, "Host=a X-A=1 accept=b x-a=2 Accept=c")
	f("delete all", func(l *Fields) { l.Reset() }, "")
}

func TestFieldsFound(t *testing.T) {
	list := fields("X-A", "1", "Accept", "b", "x-a", "2", "accept", "")
	if v, ok := list.Get(Accept); v != "b" || !ok {
		t.Errorf("got %q, %v", v, ok)
	}
	if _, ok := list.Get(Date); ok {
		t.Error("found what is not there")
	}
	for name, want := range map[string]string{"x-A": "1", "ACCEPT": "b"} {
		if v, ok := list.Header(name); v != want || !ok {
			t.Errorf("%s: got %q, %v", name, v, ok)
		}
	}
	if _, ok := list.Header("X-B"); ok {
		t.Error("found what is not there")
	}
	if n := list.Count(Accept); n != 2 {
		t.Errorf("%d, want 2", n)
	}
	if n := list.Len(); n != 4 {
		t.Errorf("%d, want 4", n)
	}
}

func TestBeginForgets(t *testing.T) {
	conn := &Conn{Peer: netip.MustParseAddrPort("192.0.2.1:5")}
	x := new(Exchange)
	x.Begin(conn, 7)
	first := strings.Clone(x.ID)
	x.Request.Method, x.Request.Length, x.Request.Upgrade, x.Request.Continue = "GET", 5, "x", true
	x.Request.Header.Add("A", "b")
	x.Request.Trailer.Add("A", "b")
	x.Respond(200, "text/plain", []byte("hi"))
	x.Response.Trailer.Add("A", "b")
	x.Route, x.Params = &Route{}, append(x.Params, Param{"a", "b"})
	x.Upstream.Tries, x.Bytes.In, x.End, x.KeepAlive = 1, 2, ClientGone, true
	x.Times.Done = 9
	x.Fail(fault.New(fault.Internal, nil))
	x.Judge("a", "b")

	x.Begin(conn, 8)
	if x.ID == first || len(x.ID) != 32 || strings.Trim(x.ID, "0123456789abcdef") != "" {
		t.Errorf("the second id is %s, the first was %s", x.ID, first)
	}
	if x.Answered() || x.Response.Body != nil || x.Response.Own || x.Response.Header.Len()+x.Response.Trailer.Len() > 0 {
		t.Errorf("the response is still there: %+v", x.Response)
	}
	r := &x.Request
	if r.Method != "" || r.Length != 0 || r.Upgrade != "" || r.Continue || r.Header.Len()+r.Trailer.Len() > 0 {
		t.Errorf("the request is still there: %+v", r)
	}
	if x.Route != nil || len(x.Params)+len(x.Verdicts) > 0 || x.Upstream != (Upstream{}) || x.Bytes != (Bytes{}) || x.Times != (Times{Start: 8}) ||
		x.End != Completed || x.KeepAlive || x.Fault != nil {
		t.Errorf("facts are still there: %+v", x)
	}
	if x.Client != conn.Peer.Addr() || conn.Requests != 2 || x.Conn != conn {
		t.Errorf("client %v, %d requests", x.Client, conn.Requests)
	}
}

func TestRespond(t *testing.T) {
	x := new(Exchange)
	x.Response.Header.Add("A", "b")
	x.Respond(404, "text/plain", []byte("no"))
	if !x.Answered() || !x.Response.Own || x.Response.Length != 2 || text(&x.Response.Header) != "Content-Type=text/plain" {
		t.Errorf("got %+v", x.Response)
	}
	if !x.Response.Body.Buffered() {
		t.Error("a body in memory is not buffered")
	}
	run, err := x.Response.Body.Next()
	if string(run) != "no" || err != nil {
		t.Errorf("got %q, %v", run, err)
	}
	if _, err := x.Response.Body.Next(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	x.Respond(204, "", nil)
	if x.Response.Body != nil || x.Response.Length != 0 || x.Response.Header.Len() != 0 {
		t.Errorf("got %+v", x.Response)
	}
}

func TestFirstFaultStays(t *testing.T) {
	x := new(Exchange)
	first := fault.New(fault.NoRoute, nil)
	x.Fail(first)
	x.Fail(fault.New(fault.Internal, nil))
	if x.Fault != first {
		t.Errorf("got %v", x.Fault)
	}
}

func TestVerdictsAreBounded(t *testing.T) {
	x := new(Exchange)
	x.Begin(&Conn{}, 1)
	for range 100 {
		x.Judge("a", "b")
	}
	if len(x.Verdicts) != maxVerdicts {
		t.Errorf("%d verdicts, want %d", len(x.Verdicts), maxVerdicts)
	}
}

func TestEndWords(t *testing.T) {
	seen := map[string]bool{}
	for e := Completed; e <= Aborted; e++ {
		if word := e.String(); word == "" || seen[word] {
			t.Errorf("end %d has no word of its own: %q", e, word)
		} else {
			seen[word] = true
		}
	}
}

func TestExchangeAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	x, conn, body := new(Exchange), &Conn{}, []byte("hi")
	if got := testing.AllocsPerRun(100, func() {
		x.Begin(conn, 1)
		x.Request.Header.Add("Accept", "a")
		x.Request.Header.Set(Accept, "b")
		x.Request.Header.DelHeader("X-A")
		x.Judge("a", "b")
		x.Respond(200, "text/plain", body)
	}); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}
