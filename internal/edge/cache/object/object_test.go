package object

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/exchange"
)

// ten are the fields of an ordinary answer.
func ten() *exchange.Fields {
	f := new(exchange.Fields)
	for _, line := range [][2]string{
		{"Date", "Sun, 22 Nov 2026 06:00:00 GMT"},
		{"Content-Type", "application/json"},
		{"Cache-Control", "public, max-age=60, stale-while-revalidate=30"},
		{"ETag", `"v1-5d8c72a5edda8"`},
		{"Last-Modified", "Sun, 22 Nov 2026 05:00:00 GMT"},
		{"Vary", "Accept-Encoding"},
		{"Content-Encoding", "gzip"},
		{"Content-Language", "nb"},
		{"X-Backend", "a7"},
		{"Content-Length", "1024"},
	} {
		f.Add(line[0], line[1])
	}
	return f
}

func fieldsOf(o *Object) []exchange.Field {
	var f exchange.Fields
	o.AppendFields(&f)
	return f.All()
}

func TestNewCopies(t *testing.T) {
	buffer := []byte(`X-Name"tag"https://h/purple`)
	at := func(from, to int) string { return view(buffer[from:to]) }
	var f exchange.Fields
	f.Append(exchange.Other, at(0, 6), at(6, 11))
	f.Append(exchange.ETag, "etag", at(6, 11))
	body := []byte("body")
	o := New(200, freshness.Terms{Lifetime: 7}, &f, at(11, 20), []string{at(21, 27)}, body)
	clear(buffer)
	want := []exchange.Field{{Name: "X-Name", Value: `"tag"`}, {Name: "ETag", Value: `"tag"`, Known: exchange.ETag}}
	if got := fieldsOf(o); !slices.Equal(got, want) {
		t.Errorf("found the fields %q, want %q", got, want)
	}
	if o.URL != "https://h" || !slices.Equal(o.Tags, []string{"purple"}) || o.ETag != `"tag"` || o.Status != 200 || o.Terms.Lifetime != 7 {
		t.Errorf("found %+v", o)
	}
	if o.Length != 4 || &o.Body[0] != &body[0] {
		t.Error("the body is not the one that was given")
	}
}

// TestNewLeavesOut has fields in an answer that would say how it is framed.
func TestNewLeavesOut(t *testing.T) {
	var f exchange.Fields
	for _, name := range []string{"Connection", "Keep-Alive", "Transfer-Encoding", "TE", "Upgrade", "Proxy-Connection", "Age"} {
		f.Add(name, "1")
	}
	got := fieldsOf(New(200, freshness.Terms{}, &f, "", nil, nil))
	if len(got) != 1 || got[0].Known != exchange.Age {
		t.Errorf("found the fields %q, want Age alone", got)
	}
}

func TestLanguage(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{"nb"}, "nb"},
		{[]string{"nb, en"}, "nb, en"},
		{[]string{"nb", "en"}, ""},
	} {
		var f exchange.Fields
		for _, line := range c.lines {
			f.Add("content-language", line)
		}
		if got := New(200, freshness.Terms{}, &f, "", nil, nil).Language; got != c.want {
			t.Errorf("found the language %q of %q, want %q", got, c.lines, c.want)
		}
	}
}

func TestWith(t *testing.T) {
	o := New(203, freshness.Terms{Lifetime: 1}, ten(), "https://h/", []string{"a", "b"}, []byte("body"))
	o.Checked.Store(9)
	var f exchange.Fields
	f.Add("ETag", `"2"`)
	n := o.With(freshness.Terms{Lifetime: 2}, &f)
	if n.Status != 203 || n.Terms.Lifetime != 2 || n.ETag != `"2"` || n.Language != "" || n.URL != o.URL || !slices.Equal(n.Tags, o.Tags) ||
		&n.Body[0] != &o.Body[0] || n.Length != 4 || n.Checked.Load() != 0 {
		t.Errorf("found %+v", n)
	}
	if o.ETag != `"v1-5d8c72a5edda8"` || o.Terms.Lifetime != 1 || len(fieldsOf(o)) != 10 {
		t.Errorf("With changed what it was made from: %+v", o)
	}
	b := o.WithBody([]byte("longer body"))
	if b.Length != 11 || string(b.Body) != "longer body" || b.URL != o.URL || b.ETag != o.ETag || b.Checked.Load() != 9 ||
		!slices.Equal(fieldsOf(b), fieldsOf(o)) || o.Length != 4 {
		t.Errorf("found %+v", b)
	}
}

func TestAppendFieldsAllocatesNothing(t *testing.T) {
	o := New(200, freshness.Terms{}, ten(), "", nil, nil)
	var f exchange.Fields
	o.AppendFields(&f)
	if n := testing.AllocsPerRun(100, func() {
		f.Reset()
		o.AppendFields(&f)
	}); n > 0 {
		t.Errorf("it allocates %v times", n)
	}
}

// TestCodes holds the numbers still that lie on disks: this list is only ever added to.
func TestCodes(t *testing.T) {
	want := strings.Fields(`Date Server Via Allow Location Retry-After Content-Type Content-Length Content-Encoding Content-Range Accept-Ranges WWW-Authenticate
		Set-Cookie Cache-Control ETag Last-Modified Expires Vary Pragma X-Request-Id Server-Timing Access-Control-Allow-Origin Access-Control-Allow-Credentials
		Access-Control-Expose-Headers`)
	if len(codes) < len(want)+1 {
		t.Fatalf("found %d codes, want at least %d", len(codes)-1, len(want))
	}
	for i, name := range want {
		if codes[i+1].String() != name {
			t.Errorf("found %s with code %d, want %s", codes[i+1], i+1, name)
		}
	}
	for code, known := range codes {
		if code > 0 && (known == exchange.Other || known.HopByHop() || int(codeOf[known]) != code) {
			t.Errorf("%s with code %d cannot be stored, or has another code besides", known, code)
		}
	}
}

// TestForm holds the form still: what an older program of the same version wrote has to be read.
func TestForm(t *testing.T) {
	var f exchange.Fields
	f.Add("ETag", `"1"`)
	f.Add("X-A", "b")
	o := New(200, freshness.Terms{RequestTime: 1, ResponseTime: 2, Date: 3, LastModified: 4, InitialAge: 5, Lifetime: 6, WhileRevalidating: -1, IfError: 7, Flags: 0x102},
		&f, "http://h/", []string{"t"}, []byte("body"))
	want := "sto\x01" + "\xc6\x58\x7a\xa9" + "\x67\x00\x00\x00" + "\x01" +
		"\x01\x00\x00\x00\x00\x00\x00\x00" + "\x02\x00\x00\x00\x00\x00\x00\x00" + "\x03\x00\x00\x00\x00\x00\x00\x00" + "\x04\x00\x00\x00\x00\x00\x00\x00" +
		"\x05\x00\x00\x00\x00\x00\x00\x00" + "\x06\x00\x00\x00\x00\x00\x00\x00" + "\xff\xff\xff\xff\xff\xff\xff\xff" + "\x07\x00\x00\x00\x00\x00\x00\x00" +
		"\x02\x01" + "\xc8\x00" + "\x04\x00\x00\x00\x00\x00\x00\x00" + "\x09http://h/" + "\x01\x01t" + "\x0c" + "\x0f\x03\"1\"" + "\x00\x03X-A\x01b"
	if got := o.Encode(nil); string(got) != want {
		t.Errorf("found %q, want %q: a change of the form needs another version", got, want)
	}
}

// anyObject draws an object as the cache would make one.
func anyObject(t *rapid.T) *Object {
	var terms freshness.Terms
	for v, i := reflect.ValueOf(&terms).Elem(), 0; i < v.NumField(); i++ { // a field that is added and not written shows here
		switch f := v.Field(i); f.Kind() {
		case reflect.Int64:
			f.SetInt(rapid.Int64().Draw(t, "term"))
		case reflect.Uint16:
			f.SetUint(uint64(rapid.Uint16().Draw(t, "flags")))
		default:
			t.Fatalf("terms have a %s, which Encode does not know how to write", f.Type())
		}
	}
	value := rapid.StringMatching(`|[!-~]([ -~]{0,200}[!-~])?`)
	token := rapid.StringMatching("[a-z!#$%&'*+.^_`|~-]{1,20}")
	url := rapid.StringMatching(`https://[a-z.]{1,20}/[!-~]{0,150}`).Draw(t, "url")
	if rapid.Bool().Draw(t, "list") {
		v := &Variants{Nonce: rapid.Uint64().Draw(t, "nonce")}
		for range rapid.IntRange(0, MaxSets).Draw(t, "sets") {
			s := Set{Names: rapid.SliceOfNDistinct(token, 1, freshness.MaxVary, rapid.ID).Draw(t, "names"), Language: value.Draw(t, "language")}
			slices.Sort(s.Names)
			for range rapid.IntRange(0, MaxKeys/MaxSets).Draw(t, "keys") {
				s.Keys = append(s.Keys, Key(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")))
			}
			v.Sets = append(v.Sets, s)
		}
		return NewVariants(v, url, terms)
	}
	var f exchange.Fields
	for range rapid.IntRange(0, 30).Draw(t, "fields") {
		if rapid.Bool().Draw(t, "known") {
			known := codes[rapid.IntRange(1, len(codes)-1).Draw(t, "code")]
			f.Append(known, known.String(), value.Draw(t, "value"))
		} else {
			f.Add(token.Draw(t, "name"), value.Draw(t, "value"))
		}
	}
	tags := rapid.SliceOfN(rapid.StringMatching(`[!-~]{1,40}`), 0, 20).Draw(t, "tags")
	return New(rapid.IntRange(200, 999).Draw(t, "status"), terms, &f, url, tags, make([]byte, rapid.IntRange(0, 1000).Draw(t, "body")))
}

// TestRoundTrip writes and reads objects with other bytes around them.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := anyObject(t)
		b := append(o.Encode([]byte("before")), "after"...)
		got, rest, err := Decode(b[len("before"):])
		if err != nil {
			t.Fatal(err)
		}
		if string(b[:6]) != "before" || string(rest) != "after" {
			t.Fatalf("found %q before and %q after it", b[:6], rest)
		}
		if got.Status != o.Status || got.Terms != o.Terms || got.URL != o.URL || !slices.Equal(got.Tags, o.Tags) || got.ETag != o.ETag ||
			got.Language != o.Language || got.Length != o.Length || !slices.Equal(fieldsOf(got), fieldsOf(o)) {
			t.Fatalf("found %+v, want %+v", got, o)
		}
		if (o.Variants == nil) != (got.Variants == nil) || o.Variants != nil && fmt.Sprint(*o.Variants) != fmt.Sprint(*got.Variants) {
			t.Fatalf("found the variants %v, want %v", got.Variants, o.Variants)
		}
		if got.Body != nil || got.File != nil {
			t.Fatal("it has a body that was not written")
		}
	})
}

// TestDamaged turns over each bit, and leaves off each end, of an encoded object.
func TestDamaged(t *testing.T) {
	good := New(200, freshness.Terms{Lifetime: 9}, ten(), "https://h/", []string{"a"}, nil).Encode(nil)
	for i := range good {
		if _, _, err := Decode(good[:i]); err == nil {
			t.Fatalf("the first %d of %d bytes are an object", i, len(good))
		}
		for bit := range 8 {
			b := slices.Clone(good)
			b[i] ^= 1 << bit
			if _, _, err := Decode(b); err == nil {
				t.Fatalf("an object with another bit %d in byte %d is one", bit, i)
			}
		}
	}
	other := slices.Clone(good)
	other[3]++
	if _, _, err := Decode(other); err != ErrVersion {
		t.Errorf("found %v for another version, want %v", err, ErrVersion)
	}
}

// seal writes size and checksum, as somebody would who can write where objects lie.
func seal(what []byte) []byte {
	b := append([]byte("sto\x01\x00\x00\x00\x00\x00\x00\x00\x00"), what...)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(what)))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// TestHostile has objects with a good checksum that would do harm in a response or in memory.
func TestHostile(t *testing.T) {
	head := func(what byte, status uint16) []byte {
		b := append([]byte{what}, make([]byte, 66)...)
		b = binary.LittleEndian.AppendUint16(b, status)
		return append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0) // no body, no URL
	}
	response := func(fields string) []byte {
		return append(append(head(aResponse, 200), 0, byte(len(fields))), fields...)
	}
	list := func(rest string) []byte { return append(append(head(aList, 0), make([]byte, 8)...), rest...) }
	if _, _, err := Decode(seal(response("\x00\x01a\x01b"))); err != nil {
		t.Fatalf("a good response is refused: %v", err)
	}
	if _, _, err := Decode(seal(list("\x01\x01\x01a\x00\x00\x00"))); err != nil {
		t.Fatalf("a good list is refused: %v", err)
	}
	for name, what := range map[string][]byte{
		"nothing":                 nil,
		"neither":                 append(head(3, 200), 0, 0),
		"status 100":              append(head(aResponse, 100), 0, 0),
		"status 1000":             append(head(aResponse, 1000), 0, 0),
		"a line break in a value": response("\x01\x04a\r\nb"),
		"a line break in a name":  response("\x00\x03a\r\n\x01b"),
		"a colon in a name":       response("\x00\x02a:\x01b"),
		"no name":                 response("\x00\x00\x01b"),
		"space around a value":    response("\x01\x02 a"),
		"NUL in a value":          response("\x01\x01\x00"),
		"a transfer coding":       response("\x00\x11transfer-encoding\x07chunked"),
		"a connection field":      response("\x00\x0aConnection\x05close"),
		"an unknown code":         response("\xff\x01a"),
		"a value that breaks off": response("\x01\x05a"),
		"a field that breaks off": response("\x01"),
		"a long form of a length": append(append(head(aResponse, 200), 0x80, 0x00), 0),
		"more after it":           append(response("\x01\x01a"), 0),
		"many tags":               append(head(aResponse, 200), 0xff, 0xff, 0xff, 0xff, 0x0f, 0),
		"an empty tag":            append(head(aResponse, 200), 1, 0, 0),
		"a tag with a line break": append(head(aResponse, 200), 1, 1, '\n', 0),
		"a list with a status":    append(head(aList, 200), 0, 0, 0, 0, 0, 0, 0, 0, 0),
		"nine sets":               list("\x09" + strings.Repeat("\x01\x01a\x00\x00\x00", 9)),
		"257 keys":                list("\x01\x01\x01a\x00\x01\x01" + strings.Repeat("k", 257*32)),
		"257 keys in two sets":    list("\x02\x01\x01a\x00\x00\x01" + strings.Repeat("k", 256*32) + "\x01\x01a\x00\x01\x00" + strings.Repeat("k", 32)),
		"a set without names":     list("\x01\x00\x00\x00\x00"),
		"names in capitals":       list("\x01\x01\x01A\x00\x00\x00"),
		"names in disorder":       list("\x01\x02\x01b\x01a\x00\x00\x00"),
		"a name twice":            list("\x01\x02\x01a\x01a\x00\x00\x00"),
		"seventeen names":         list("\x01\x11" + strings.Repeat("\x01a", 17) + "\x00\x00\x00"),
		"keys that break off":     list("\x01\x01\x01a\x00\x02\x00" + strings.Repeat("k", 63)),
		"more than a mebibyte":    make([]byte, maxSize+1),
	} {
		if o, _, err := Decode(seal(what)); err != ErrForm {
			t.Errorf("%s: found %v and %+v, want %v", name, err, o, ErrForm)
		}
	}
}

// FuzzDecode puts a good size and checksum before anything. What is accepted is written back as it was, and took no more memory than it may.
func FuzzDecode(f *testing.F) {
	f.Add(New(200, freshness.Terms{Lifetime: 9}, ten(), "https://h/", []string{"a", "b"}, nil).Encode(nil)[atWhat:])
	f.Add(NewVariants(&Variants{Nonce: 1, Sets: []Set{{[]string{"accept", "cookie"}, "nb", make([]Key, 3)}}}, "https://h/", freshness.Terms{}).Encode(nil)[atWhat:])
	f.Fuzz(func(t *testing.T, what []byte) {
		_, _, _ = Decode(what)
		b := seal(what)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		o, rest, err := Decode(b)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<10+10*uint64(len(b)) {
			t.Fatalf("%d bytes took %d of memory", len(b), took)
		}
		if err != nil {
			return
		}
		if len(rest) > 0 {
			t.Fatalf("found %q after all of it", rest)
		}
		for _, field := range fieldsOf(o) {
			if strings.ContainsAny(field.Name+field.Value, "\r\n\x00") || field.Known.HopByHop() {
				t.Fatalf("found the field %q", field)
			}
		}
		if again := o.Encode(nil); !bytes.Equal(again, b) {
			t.Fatalf("found %q, which is written as %q", b, again)
		}
		o.Size()
	})
}

func TestVariants(t *testing.T) {
	buffer := []byte("accept")
	v := &Variants{Nonce: 5}
	for i := range 10 {
		s := Set{Names: []string{view(buffer)}, Language: view(buffer[:2])}
		for j := range 60 {
			s.Keys = append(s.Keys, Key{byte(i), byte(j)})
		}
		v.Sets = append(v.Sets, s)
	}
	o := NewVariants(v, "https://h/", freshness.Terms{RequestTime: 3})
	clear(buffer)
	v.Sets[0].Keys[59] = Key{}
	got := o.Variants
	if len(got.Sets) != MaxSets || got.Sets[0].Names[0] != "accept" || got.Sets[0].Language != "ac" || got.Nonce != 5 || o.URL != "https://h/" || o.Terms.RequestTime != 3 {
		t.Fatalf("found %+v", got)
	}
	for i, want := range []int{60, 60, 60, 60, 16, 0, 0, 0} {
		if n := len(got.Sets[i].Keys); n != want {
			t.Errorf("found %d keys in set %d, want %d", n, i, want)
		}
	}
	if k := got.Sets[4].Keys; k[0] != (Key{4, 44}) || k[15] != (Key{4, 59}) || got.Sets[0].Keys[59] != (Key{0, 59}) {
		t.Error("the newest keys are not those that were kept")
	}
	if _, _, err := Decode(o.Encode(nil)); err != nil {
		t.Error(err)
	}
}

// TestAllotted compares with what the allocator says of itself: each to within a fifth, and all together to within a fiftieth.
func TestAllotted(t *testing.T) {
	var got, want int64
	for n := range 70_000 {
		g, w := allotted(int64(n)), int64(cap(append([]byte(nil), make([]byte, n)...)))
		if n > 8 && (g < w*8/10 || g > w*12/10) {
			t.Fatalf("found %d bytes for %d, want about %d", g, n, w)
		}
		got += g
		want += w
	}
	if got < want*98/100 || got > want*102/100 {
		t.Errorf("found %d bytes for all, want about %d", got, want)
	}
}

func BenchmarkAppendFields(b *testing.B) {
	o := New(200, freshness.Terms{}, ten(), "https://h/", nil, nil)
	var f exchange.Fields
	b.ReportAllocs()
	for b.Loop() {
		f.Reset()
		o.AppendFields(&f)
	}
}

func BenchmarkNew(b *testing.B) {
	f := ten()
	b.ReportAllocs()
	for b.Loop() {
		New(200, freshness.Terms{}, f, "https://api.example.com/orders/17", []string{"orders", "order-17"}, nil)
	}
}

func BenchmarkEncode(b *testing.B) {
	o := New(200, freshness.Terms{}, ten(), "https://api.example.com/orders/17", []string{"orders", "order-17"}, nil)
	var e []byte
	b.ReportAllocs()
	for b.Loop() {
		e = o.Encode(e[:0])
	}
}

func BenchmarkDecode(b *testing.B) {
	e := New(200, freshness.Terms{}, ten(), "https://api.example.com/orders/17", []string{"orders", "order-17"}, nil).Encode(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Decode(e); err != nil {
			b.Fatal(err)
		}
	}
}
