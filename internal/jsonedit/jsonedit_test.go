package jsonedit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

var plain = Limits{Depth: 64, Output: 1 << 20}

// parse reads an edit: "remove /a; rename /b c; move /d /e; set /f 1; set /g ?2". A value with a question mark is computed.
func parse(t testing.TB, text string) (*Edit, values) {
	t.Helper()
	e, v := &Edit{}, values{}
	for op := range strings.SplitSeq(text, ";") {
		word := strings.SplitN(strings.TrimSpace(op), " ", 3)
		for len(word) < 3 {
			word = append(word, "")
		}
		path := strings.Trim(word[1], `"`)
		switch word[0] {
		case "remove":
			e.Remove = append(e.Remove, path)
		case "rename":
			e.Rename = append(e.Rename, Rename{path, word[2]})
		case "move":
			e.Move = append(e.Move, Move{path, strings.Trim(word[2], `"`)})
		case "set":
			s := Set{Path: path}
			if computed, ok := strings.CutPrefix(word[2], "?"); ok {
				v[len(e.Set)] = computed
			} else {
				s.Value = []byte(word[2])
			}
			e.Set = append(e.Set, s)
		case "":
		default:
			t.Fatalf("%q", op)
		}
	}
	return e, v
}

type values map[int]string

func (v values) AppendValue(dst []byte, set int) []byte { return append(dst, v[set]...) }

func TestEdit(t *testing.T) {
	f := func(edit, text, want string) {
		t.Helper()
		e, v := parse(t, edit)
		p, err := Compile(e)
		if err != nil {
			t.Errorf("%s: %v", edit, err)
			return
		}
		got, err := p.Append([]byte("before "), []byte(text), &plain, v)
		if err != nil {
			t.Errorf("%s of %s: %v", edit, text, err)
			return
		}
		if string(got) != "before "+want {
			t.Errorf("%s of\n%s\nis %s\nwant   %s", edit, text, got[7:], want)
		}
	}
	f("", ` {"a" : 1.0e+2 } `, `{"a" : 1.0e+2 }`)
	// Remove.
	f("remove /a", `{"a":1,"b":2}`, `{"b":2}`)
	f("remove /b", `{"a":1,"b":2}`, `{"a":1}`)
	f("remove /a; remove /b", `{"a":1, "b":2}`, `{}`)
	f("remove /a", `{"b": [ 1 ,2.50], "\u0061":3}`, `{"b":[ 1 ,2.50]}`)
	f("remove /a/b", `{"a":{"b":1,"c":12345678901234567890.10}}`, `{"a":{"c":12345678901234567890.10}}`)
	f("remove /a/b", `{"a":1}`, `{"a":1}`)
	f("remove /a/b", `[1]`, `[1]`)
	f("remove /1", `[1,2,3]`, `[1,3]`)
	f("remove /0; remove /2", `[1,2,3]`, `[2]`)
	f("remove /01", `[1,2]`, `[1,2]`)
	f("remove /-", `[1,2]`, `[1,2]`)
	f("remove /-", `{"-":1}`, `{}`)
	f("remove /items/*/secret", `{"items":[{"secret":1,"a":2},{"a":3},4,[]]}`, `{"items":[{"a":2},{"a":3},4,[]]}`)
	f("remove /*/x", `{"a":{"x":1,"y":2},"b":{"x":3}}`, `{"a":{"y":2},"b":{}}`)
	f("remove /*/x; remove /a/y", `{"a":{"x":1,"y":2,"z":0},"b":{"x":3,"y":4}}`, `{"a":{"z":0},"b":{"y":4}}`)
	f("remove /*", `[1,{},[]]`, `[]`)
	f("remove /a~1b; remove /c~0d; remove /", `{"a/b":1,"c~d":2,"":3,"e":4}`, `{"e":4}`)
	// Rename.
	f("rename /a b", `{"a":1,"c":2}`, `{"b":1,"c":2}`)
	f("rename /a b", `{"b":0,"a":1}`, `{"b":1}`)
	f("rename /a b", `{"a":1,"b":0}`, `{"b":1}`)
	f("rename /a b", `{"b":0}`, `{"b":0}`)
	f("rename /a b; rename /b a", `{"b":0,"a":1}`, `{"a":0,"b":1}`)
	f("rename /a c; rename /b c", `{"b":0,"a":1,"c":2}`, `{"c":0}`)
	f("rename /a a", `{"a":1}`, `{"a":1}`)
	f("rename /user person; remove /user/secret", `{"user":{"secret":1,"n":2}}`, `{"person":{"n":2}}`)
	f("rename /a b; remove /b", `{"a":1,"b":2}`, `{"b":1}`)
	f("rename /*/a b", `[{"a":1},{"a":{"a":2}}]`, `[{"b":1},{"b":{"a":2}}]`)
	f("rename /*/a b; rename /x/c b", `{"x":{"a":1,"c":2}}`, `{"x":{"b":1}}`)
	f("rename /0 b", `[1]`, `[1]`)
	f(`rename /a q"`, `{"a":1}`, `{"q\"":1}`)
	// Move.
	f("move /user/name /name", `{"user":{"name":"x","age":1}}`, `{"user":{"age":1},"name":"x"}`)
	f("move /a /b/c/d", `{"a":1}`, `{"b":{"c":{"d":1}}}`)
	f("move /a /b", `{"c":1}`, `{"c":1}`)
	f("move /a /b", `{"a":1,"b":2}`, `{"b":1}`)
	f("move /a /b; move /b /a", `{"a":1,"b":2}`, `{"b":1,"a":2}`)
	f("move /a /b/x", `{"a":1,"b":2}`, `{"b":2}`)
	f(`move /data ""`, `{"data":{"x":1},"meta":2}`, `{"x":1}`)
	f(`move /data ""`, `{"meta":2}`, `{"meta":2}`)
	f(`move "" /data`, `[1, 2]`, `{"data":[1, 2]}`)
	f(`move "" /data; set /ok true; remove /1`, `[1,2]`, `{"data":[1],"ok":true}`)
	f("move /a /x; move /a/b /y", `{"a":{"b":1,"c":2}}`, `{"x":{"c":2},"y":1}`)
	f("move /0 /-", `[1,2,3]`, `[2,3,1]`)
	f("move /a /l/-", `{"a":1,"l":[0]}`, `{"l":[0,1]}`)
	f("move /a /l/-", `{"a":1}`, `{"l":[1]}`)
	f("move /a /b; remove /a/x", `{"a":{"x":1,"y":2}}`, `{"b":{"y":2}}`)
	f("move /a /b; remove /*", `{"a":1}`, `{}`)
	// Set.
	f("set /a 1", `{}`, `{"a":1}`)
	f("set /a 1", `{"a":2,"b":3}`, `{"a":1,"b":3}`)
	f("set /a/b/c [1]", `{"x":0}`, `{"x":0,"a":{"b":{"c":[1]}}}`)
	f("set /a/b 1", `{"a":"s"}`, `{"a":"s"}`)
	f("set /a/b 1", `{"a":null}`, `{"a":null}`)
	f("set /a/b 1", `[]`, `[]`)
	f(`set "" {"a":1}`, `[1,2]`, `{"a":1}`)
	f("set /a/- 1", `{"a":[]}`, `{"a":[1]}`)
	f("set /a/-/b 1", `{"a":[0]}`, `{"a":[0,{"b":1}]}`)
	f("set /a/-/b 1", `{}`, `{"a":[{"b":1}]}`)
	f("set /a/- 1", `{"a":{}}`, `{"a":{}}`)
	f("set /1 9", `[1,2]`, `[1,9]`)
	f("set /2 9", `[1,2]`, `[1,2]`)
	f("set /y/2024 9", `{}`, `{"y":{"2024":9}}`)
	f("set /*/x 1", `[{},{"x":2},3]`, `[{"x":1},{"x":1},3]`)
	f("set /* 0", `{"a":1,"b":[]}`, `{"a":0,"b":0}`)
	f("set /* 0; set /b 1", `{"a":1}`, `{"a":0,"b":1}`)
	f("set /o/* 5; set /o/k/y 2", `{"o":{}}`, `{"o":{"k":{"y":2}}}`)
	f("set /a/*/b 1", `{}`, `{}`)
	f("set /a {}; set /a/b 1", `{"a":3}`, `{"a":{"b":1}}`)
	f("move /a /b; set /b/c 1", `{"a":{"c":0,"d":2}}`, `{"b":{"c":1,"d":2}}`)
	f("move /a /b; set /b 1", `{"a":0}`, `{"b":1}`)
	f(`set /a ?"x"; set /b ?{"c":1}; set /b/d 2`, `{"a":1}`, `{"a":"x","b":{"c":1,"d":2}}`)
	f(`set /*/t ?"x"`, `[{},{}]`, `[{"t":"x"},{"t":"x"}]`)
	// In order: remove, rename, move, set.
	f("remove /a; rename /b a; move /c /z; set /z/y 1", `{"a":1,"b":2,"c":{}}`, `{"a":2,"z":{"y":1}}`)
}

// A name that stands in an object very often is noted once, or each other name would be compared with all of them.
func TestNamesAreNotedOnce(t *testing.T) {
	p, err := Compile(&Edit{Rename: []Rename{{"/a", "b"}, {"/c", "d"}}})
	if err != nil {
		t.Fatal(err)
	}
	r := &run{p: p, text: []byte("{" + strings.Repeat(`"a":1,"c":2,"x":3,`, 1000) + `"a":1}`)}
	if r.findNew(0, p.take); len(r.names) != 2 {
		t.Errorf("%d names are noted", len(r.names))
	}
}

func TestTwice(t *testing.T) {
	l := plain
	l.Twice = true
	e, _ := parse(t, "remove /a; rename /b c; set /d 1")
	p, err := Compile(e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Append(nil, []byte(`{"a":1,"\u0061":2,"d":3,"d":4,"e":5,"e":6}`), &l, nil)
	if err != nil || string(got) != `{"d":1,"d":1,"e":5,"e":6}` {
		t.Errorf("%s %v", got, err)
	}
}

// What is not JSON by the letter of RFC 8259 is refused where it goes wrong.
func TestCheck(t *testing.T) {
	l := &Limits{Depth: 4, Values: 40, Digits: 10, Exponent: 300}
	for _, good := range []string{`0`, ` -0.0 `, `1e300`, `"\ud83d\ude00"`, `"é\"\\\/\b\f\n\r\t\u00e9"`, `[[[[]]]]`, `{"a":{"a":[]},"b":[]}`, "\t\r\n[1 , 2]\n",
		`{"":1}`, `1.23456789`, `[null,true,false]`, `{"a":1,"A":2,"a ":3}`} {
		if err := Check([]byte(good), l); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	f := func(text, want string) {
		t.Helper()
		var wrong *SyntaxError
		if err := Check([]byte(text), l); !errors.As(err, &wrong) || wrong.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	f("", "line 1, column 1: the text ends where a value is expected")
	f("  ", "line 1, column 3: the text ends where a value is expected")
	f("\xef\xbb\xbf1", "line 1, column 1: a byte order mark stands before the value")
	f("1 2", "line 1, column 3: something stands behind the value")
	f("{\"a\":1,\n \"b\":2,}", "line 2, column 8: the name of a member is expected, in quotation marks")
	f("[1,]", "line 1, column 4: a value is expected")
	f("[1 2]", "line 1, column 4: a comma or the end of the array is expected")
	f(`{"a" 1}`, "line 1, column 6: a colon is expected")
	f(`{"a":1 "b":2}`, "line 1, column 8: a comma or the end of the object is expected")
	f(`{a:1}`, "line 1, column 2: the name of a member is expected, in quotation marks")
	f(`[`, "line 1, column 2: the text ends where a value is expected")
	f(`{"a":1`, "line 1, column 7: a comma or the end of the object is expected")
	f(`"a`, "line 1, column 3: the text ends within a string")
	f(`"a\`, "line 1, column 4: the text ends within a string")
	f("\"a\nb\"", "line 1, column 3: a control character stands in a string")
	f("\"\xff\"", "line 1, column 2: a string is not UTF-8")
	f("\"\xed\xa0\x80\"", "line 1, column 2: a string is not UTF-8")
	f(`"\x"`, "line 1, column 2: an escape in a string is not good")
	f(`"\u12"`, "line 1, column 2: an escape in a string is not good")
	f(`"\ud800"`, "line 1, column 2: half of a surrogate pair stands in a string")
	f(`"\udc00\ud800"`, "line 1, column 2: half of a surrogate pair stands in a string")
	f(`"\ud800\u0041"`, "line 1, column 2: half of a surrogate pair stands in a string")
	f(`01`, "line 1, column 2: something stands behind the value")
	f(`-`, "line 1, column 2: a digit is expected")
	f(`1.`, "line 1, column 3: a digit is expected")
	f(`1e`, "line 1, column 3: a digit is expected")
	f(`+1`, "line 1, column 1: a value is expected")
	f(`NaN`, "line 1, column 1: a value is expected")
	f(`nul`, "line 1, column 1: a value is expected")
	f(`tru3`, "line 1, column 1: a value is expected")
	f(`'a'`, "line 1, column 1: a value is expected")
	f(`// a`, "line 1, column 1: a value is expected")
	f(`[[[[[]]]]]`, "line 1, column 5: arrays and objects are nested deeper than allowed")
	f(`[`+strings.Repeat("1,", 40)+`1]`, "line 1, column 80: there are more values than allowed")
	f(`1e301`, "line 1, column 1: a number is larger or smaller than allowed")
	f(`1e-99999999999999999999`, "line 1, column 1: a number is larger or smaller than allowed")
	f(`12345678901`, "line 1, column 1: a number has more digits than allowed")
	f(`{"a":1,"a":2}`, "line 1, column 8: the name of this member stands twice in its object")
	f(`{"a":1,"\u0061":2}`, "line 1, column 8: the name of this member stands twice in its object")
	f(`[{"a":{"b":1},"b":2,"b":3}]`, "line 1, column 21: the name of this member stands twice in its object")
	many := `{"n0":0`
	for i := 1; i < 30; i++ {
		many += fmt.Sprintf(`,"n%d":0`, i)
	}
	if err := Check([]byte(many+"}"), l); err != nil {
		t.Error(err)
	}
	f(many+`,"n3":0}`, fmt.Sprintf("line 1, column %d: the name of this member stands twice in its object", len(many)+2))
	f(many+`,"\u006e17":0}`, fmt.Sprintf("line 1, column %d: the name of this member stands twice in its object", len(many)+2))
	f(many+`,"y":0,"y":0}`, fmt.Sprintf("line 1, column %d: the name of this member stands twice in its object", len(many)+8))
}

func TestCompile(t *testing.T) {
	f := func(edit, want string) {
		t.Helper()
		e, _ := parse(t, edit)
		if _, err := Compile(e); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", edit, err, want)
		}
	}
	f("remove a", `remove "a": a JSON pointer begins with a slash`)
	f("remove /a~2", "write ~0 for ~")
	f("remove /a~", "write ~0 for ~")
	f(`remove ""`, "the whole text cannot be removed")
	f("remove /a; remove /a", "it is removed twice")
	f("rename /a b; rename /a c", "it is renamed twice")
	f("remove /a; rename /a b", "it is removed already")
	f("rename /* b", "not every member")
	f("rename /a/* b", "not every member")
	f(`rename "" b`, "the whole text has no name")
	f("move /a/* /b", "* cannot be used in a move")
	f("move /a /*/b", "* cannot be used in a move")
	f("move /a /b; move /a /c", "it is removed or moved already")
	f("remove /a; move /a /c", "it is removed or moved already")
	f("move /a /c; move /b /c", "two values are moved here")
	f("set /a 1; set /a 2", "it is set twice")
	f("set /a {", `set "/a": the value is not JSON: line 1, column 2`)
	f("set "+strings.Repeat("/a", 33)+" 1", "deeper than 32 levels")
	f(strings.Repeat("remove /a;", 65), "there are 65 operations; at most 64")
	blowUp := ""
	for i := range 60 {
		blowUp += "set " + strings.Repeat("/*", i%12) + fmt.Sprintf("/n%d", i) + strings.Repeat("/*/x", 7) + fmt.Sprintf("/m%d 1;", i)
	}
	f(blowUp, "too many")
}

func TestOutput(t *testing.T) {
	e, _ := parse(t, "set /*/x \"0123456789\"")
	p, err := Compile(e)
	if err != nil {
		t.Fatal(err)
	}
	text := []byte(`[{},{},{}]`)
	for most := range 80 {
		got, err := p.Append([]byte("b"), text, &Limits{Depth: 9, Output: most}, nil)
		if most < 58 && (err != ErrOutput || string(got) != "b") || most >= 58 && (err != nil || len(got) != 59) {
			t.Errorf("%d: %s %v", most, got, err)
		}
	}
}

// decode reads JSON as the standard library does.
func decode(t testing.TB, text []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

// Whatever comes, nothing panics; what is taken is JSON for the standard library too, what comes out is good JSON, and what no pointer names is
// as it was.
func FuzzEdit(f *testing.F) {
	edits := []string{"", "remove /nowhere/at/all; remove /*/*/*/*/nothing", "remove /*", "remove /a; rename /b a; move /c /d/e; set /f/- [1]", `move "" /data/-; set /*/x {}`, `move /a ""; set /*/* 1`, "rename /*/a b; rename /a/c b; set /-/x 1",
		"move /a/0 /a/-; move /0 /-; set /a/*/b ?null; remove /*/1"}
	var programs []*Program
	for _, text := range edits {
		e, _ := parse(f, text)
		p, err := Compile(e)
		if err != nil {
			f.Fatal(err)
		}
		programs = append(programs, p)
	}
	for _, seed := range []string{`{"a":[{"b":1},{"c":[1,2,{"a":null}]}],"b":"\u00e9","c":-1.5e9}`, `[{"a":1,"a":2}]`, `[[],{}," ",true]`, `{"a":`, `"\ud83d\ude00"`, "{\"a\":1,\n\"\\u0061\":[0]}", `{"b":1,"a":{"c":2,"a":1}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, twice := range []bool{false, true} {
			l := &Limits{Depth: 20, Output: 4*len(text) + 400, Twice: twice}
			err := Check(text, l)
			if err == nil && !json.Valid(text) {
				t.Fatalf("%q is taken for JSON", text)
			}
			for i, p := range programs {
				got, wrong := p.Append(nil, text, l, values{0: "null"})
				if (wrong == nil) != (err == nil) {
					t.Fatalf("%s: %v, and %v", edits[i], wrong, err)
				}
				if err != nil {
					continue
				}
				again := *l
				again.Depth += 40
				if err := Check(got, &again); err != nil {
					t.Fatalf("%s made %q of %q: %v", edits[i], got, text, err)
				}
				if i < 2 && !reflect.DeepEqual(decode(t, got), decode(t, text)) {
					t.Fatalf("%s made %q of %q", edits[i], got, text)
				}
			}
		}
	})
}

// sample is an answer of about 1 KiB.
var sample = func() []byte {
	b := []byte(`{"id":"0195f2ac-7c1e-7000-8000-000000000001","created":"2026-11-22T03:00:00Z","total":1234.50,"user":{"name":"Kari Nordmann","email":"kari@example.com","secret":"x"},"items":[`)
	for i := range 10 {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"sku":"A-%04d","count":%d,"price":19.90,"secret":"internal","note":"caf\\u00e9"}`, i, i)
	}
	return append(b, "]}"...)
}()

func program(t testing.TB) *Program {
	t.Helper()
	e, _ := parse(t, `remove /user/secret; remove /items/*/secret; rename /total amount; move /user/name /name; set /meta/source "gateway"; set /seen ?1`)
	p, err := Compile(e)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools drop at random")
	}
	p, dst := program(t), make([]byte, 0, 4096)
	var v Values = values{1: "1"}
	if n := testing.AllocsPerRun(200, func() {
		if _, err := p.Append(dst, sample, &plain, v); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkCheck(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(sample)))
	for b.Loop() {
		if err := Check(sample, &plain); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	p, dst := program(b), make([]byte, 0, 4096)
	var v Values = values{1: "1"}
	b.ReportAllocs()
	b.SetBytes(int64(len(sample)))
	for b.Loop() {
		if _, err := p.Append(dst, sample, &plain, v); err != nil {
			b.Fatal(err)
		}
	}
}
