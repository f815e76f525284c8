package schema

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

func compile(t testing.TB, text string) *Schema {
	t.Helper()
	s, err := tryCompile(text, nil)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

func tryCompile(text string, files Files) (*Schema, error) {
	doc, err := Read("inline", []byte(text))
	if err != nil {
		return nil, err
	}
	l := NewLibrary(files, Options{Formats: true})
	if err := l.Add("inline", doc); err != nil {
		return nil, err
	}
	return l.Compile("inline", "")
}

func decode(t testing.TB, text string) any {
	t.Helper()
	v, err := Decode([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// TestSuite runs the JSON Schema Test Suite (github.com/json-schema-org/JSON-Schema-Test-Suite), of which testdata/suite.json.gz holds the
// required tests of two drafts as they are.
func TestSuite(t *testing.T) {
	f, err := os.Open("testdata/suite.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	all := decode(t, string(text)).(map[string]any)
	ran, refused := 0, map[string]int{}
	for file, groups := range all {
		for _, group := range groups.([]any) {
			g := group.(map[string]any)
			l := NewLibrary(nil, Options{})
			if strings.HasPrefix(file, "draft7") {
				l.compiler.DefaultDraft(jsonschema.Draft7)
			}
			var s *Schema
			err := l.Add("s", g["schema"])
			if err == nil {
				s, err = l.Compile("s", "")
			}
			if err != nil {
				refused[file]++
				if !strings.Contains(err.Error(), "$dynamicRef") && !strings.Contains(err.Error(), "nothing is fetched") && !strings.Contains(err.Error(), "refer to files") {
					t.Errorf("%s: %s: %v", file, g["description"], err)
				}
				continue
			}
			for _, test := range g["tests"].([]any) {
				c := test.(map[string]any)
				problems := s.Validate(c["data"])
				if ran++; (problems == nil) != c["valid"].(bool) {
					t.Errorf("%s: %s: %s: %v", file, g["description"], c["description"], problems)
				}
			}
		}
	}
	if ran < 1400 {
		t.Errorf("only %d tests ran", ran)
	}
	t.Logf("%d tests; schemas refused: %v", ran, refused)
}

func TestProblems(t *testing.T) {
	f := func(schema, value, want string) {
		t.Helper()
		var got []string
		for _, p := range compile(t, schema).Validate(decode(t, value)) {
			got = append(got, p.Pointer+" "+p.Message)
		}
		if s := strings.Join(got, "; "); s != want {
			t.Errorf("%s of %s:\n%s, want\n%s", schema, value, s, want)
		}
	}
	order := `{"type":"object","required":["id","items"],"properties":{"id":{"type":"string","format":"uuid"},"items":{"type":"array","minItems":1,"maxItems":2,"items":{"$ref":"#/$defs/item"}},"mail":{"type":"string","format":"email"}},
		"additionalProperties":false,"$defs":{"item":{"type":"object","properties":{"n":{"type":"integer","minimum":1,"maximum":9},"c":{"enum":["red","blue"]},"s":{"pattern":"^[a-z]+$","maxLength":3}}}}}`
	f(order, `{"id":"0195f2ac-7c1e-7000-8000-000000000001","items":[{"n":1.0,"c":"red","s":"abc"}]}`, "")
	f(order, `[]`, " is of type array; allowed: object")
	f(order, `{}`, ` lacks the member "id";  lacks the member "items"`)
	f(order, `{"id":"hunter2","items":[]}`, "/id has not the format uuid; /items has fewer than 1 elements")
	f(order, `{"id":1,"items":[{"n":0},{"n":10},{"n":1.5}]}`, "/id is of type number; allowed: string; /items has more than 2 elements; /items/0/n is too small; /items/1/n is too large; /items/2/n is of type number; allowed: integer")
	f(order, `{"id":"0195f2ac-7c1e-7000-8000-000000000001","items":[{"c":"hunter2"},{"s":"HUNTER2"}],"a/b~c":1}`,
		"/a~1b~0c is not allowed here; /items/0/c is none of the values allowed; /items/1/s is longer than 3 characters; /items/1/s does not match the pattern that is asked for")
	f(`{"anyOf":[{"type":"string"},{"minimum":5}]}`, `1`, " matches none of the forms allowed (anyOf)")
	f(`{"oneOf":[{"minimum":1},{"minimum":5}]}`, `7`, " matches more than one of the forms allowed (oneOf)")
	f(`{"not":{"type":"null"},"const":1}`, `null`, " is none of the values allowed;  has a form that is not allowed (not)")
	f(`{"multipleOf":0.1}`, `0.30000000000000000001`, " is not a multiple of the number that is asked for")
	f(`{"multipleOf":0.01}`, `19.99`, "")
	f(`{"minimum":9007199254740993}`, `9007199254740992`, " is too small")
	f(`{"uniqueItems":true}`, `[1,{"a":1,"b":[]},{"b":[],"a":1.0}]`, " has two elements that are equal")
	f(`{"uniqueItems":true}`, `["a\"],[",["a"],"a",1,"1",null,"null",[1,[]],[1],[[],1],{"a":1},{"a":"1"}]`, "")
	f(`{"propertyNames":{"maxLength":2}}`, `{"abc":1}`, "/abc has a name that is not allowed")
	f(`{"properties":{"a":true},"unevaluatedProperties":false}`, `{"a":1,"b":2}`, "/b is not allowed here")
	f(`{"dependentRequired":{"a":["b"]}}`, `{"a":1}`, ` lacks the member "b", which goes with "a"`)
	f(`{"items":{"type":"string"}}`, `[1,2,3,4,5,6,7,8,9,10,11,12]`, strings.TrimSuffix(strings.Join(func() (all []string) {
		for i := range 10 {
			all = append(all, fmt.Sprintf("/%d is of type number; allowed: string; ", i))
		}
		return
	}(), ""), "; "))
	f(`{"additionalProperties":false}`, `{"`+strings.Repeat("é", 200)+`":1}`, "/"+strings.Repeat("é", 32)+"… is not allowed here")
	f(`false`, `1`, " is not allowed here")
	f(`{"format":"int32"}`, `2147483648`, " has not the format int32")
	f(`{"format":"int64"}`, `-9223372036854775808`, "")
	f(`{"format":"nobody knows"}`, `"x"`, "")
	f("type: object\nproperties:\n  on: {type: boolean, enum: [true]}\n  n: {const: 0x10}\n", `{"on":true,"n":16}`, "")
	// What is not worth judging.
	f(`{"minimum":1}`, `1e99999`, " has more digits than can be judged")
	f(`{"type":"integer"}`, `1e99999`, " is of type number; allowed: integer")
	f(`{"uniqueItems":true}`, `[1e99999,1e99999]`, " has two elements that are equal")
}

// However a schema branches and whatever is sent, a judgement ends.
func TestSteps(t *testing.T) {
	s := compile(t, `{"$defs":{"f":{"anyOf":[{"properties":{"x":{"$ref":"#/$defs/f"}},"not":{"type":"object"}},{"properties":{"x":{"$ref":"#/$defs/f"}},"not":{"required":["x"]}},{"type":"string"}]}},"$ref":"#/$defs/f"}`)
	deep := `"a"`
	for range 60 {
		deep = `{"x":` + deep + `}`
	}
	got := s.Validate(decode(t, deep))
	if len(got) != 1 || got[0].Message != "takes too many steps to judge" {
		t.Errorf("%v", got)
	}
	// Strings that run into each other in the same way: each has to be told from all others in time.
	var list strings.Builder
	list.WriteString("[0")
	for i := range 30_000 {
		fmt.Fprintf(&list, `,["%015b","%015b"]`, i, i)
	}
	if got := compile(t, `{"uniqueItems":true}`).Validate(decode(t, list.String()+"]")); got != nil {
		t.Errorf("%v", got)
	}
	big := `"` + strings.Repeat("a", 1<<20) + `"`
	if got := compile(t, `{"allOf":[`+strings.Repeat(`{"pattern":"a+b|a+c"},`, 100)+`true]}`).Validate(decode(t, big)); len(got) == 0 {
		t.Error("it matches")
	}
}

func TestRefused(t *testing.T) {
	files := func(name string) ([]byte, error) {
		switch name {
		case "item.json":
			return []byte(`{"type":"object","properties":{"next":{"$ref":"deep/other.yaml#/a"}}}`), nil
		case "deep/other.yaml":
			return []byte("a:\n  $ref: ../item.json\n"), nil
		case "bad.json":
			return []byte("{\"a\":1,\n\"b\"}"), nil
		case "bad.yaml":
			return []byte("a: 1\na: 2\n"), nil
		case "out.json":
			return []byte(`{"items":{"$ref":"../out.json"}}`), nil
		case "wrong.json":
			return []byte(`{"properties":{"a":{"type":"sting"}}}`), nil
		}
		return nil, errors.New(name + ": no such file")
	}
	if s, err := tryCompile(`{"$ref":"item.json"}`, files); err != nil {
		t.Error(err)
	} else if got := s.Validate(decode(t, `{"next":{"next":1}}`)); len(got) != 1 || got[0].Pointer != "/next/next" {
		t.Errorf("%v", got)
	}
	f := func(schema, want string) {
		t.Helper()
		if _, err := tryCompile(schema, files); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q in it", schema, err, want)
		}
	}
	f(`{"$ref":"https://example.com/a.json"}`, "found a reference to https://example.com/a.json; nothing is fetched")
	f(`{"$ref":"file:///etc/passwd"}`, "nothing is fetched")
	f(`{"$ref":"//example.com/a"}`, "nothing is fetched")
	f(`{"properties":{"a/b":{"$ref":"../a.json"}}}`, `inline: at /properties/a~1b/$ref: found "../a.json", which leads out of the directory`)
	f(`{"$ref":"deep/../../a.json"}`, "leads out of the directory")
	f(`{"$ref":"%2e%2e/a.json"}`, "leads out of the directory")
	f(`{"$ref":"out.json"}`, "leads out of the directory")
	f(`{"$ref":"missing.json"}`, "missing.json: no such file")
	f(`{"$ref":"bad.json"}`, "bad.json:2:4: invalid character")
	f(`{"$ref":"bad.yaml"}`, `bad.yaml:2:1: the key "a" stands twice`)
	f(`{"$ref":"wrong.json"}`, `wrong.json: at /properties/a/type: value must be one of 'array', 'boolean'`)
	f(`{"type":"sting"}`, `inline: at /type: value must be one of`)
	f(`{"minLength":-1}`, `inline: at /minLength: `)
	f(`{"pattern":"(?=a)"}`, `(?=a)`)
	f(`{"$ref":"#/$defs/x"}`, "#/$defs/x")
	f(`{"$dynamicRef":"#a","$dynamicAnchor":"a"}`, "$dynamicRef and $recursiveRef are not known here")
	f("a: &a [1]\nb: {<<: *a}", "<< is not known")
	f("a: .inf", "JSON has no such number")
	if _, err := tryCompile(`{"$ref":"item.json"}`, nil); err == nil || !strings.Contains(err.Error(), "cannot refer to files") {
		t.Error(err)
	}
	bomb := "a: &a [0,0,0,0,0,0,0,0,0,0]\n"
	for i := range 12 {
		bomb += fmt.Sprintf("%c: &%c [%s*%c]\n", 'b'+i, 'b'+i, strings.Repeat(fmt.Sprintf("*%c,", 'a'+i), 9), 'a'+i)
	}
	f(bomb, "aliases come to too much")
}

func TestDecimal(t *testing.T) {
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		x, ok := parseDecimal(a)
		y, ok2 := parseDecimal(b)
		if !ok || !ok2 {
			t.Fatal(a, b)
		}
		r, _ := new(big.Rat).SetString(a)
		q, _ := new(big.Rat).SetString(b)
		if x.compare(y) != r.Cmp(q) || x.whole() != r.IsInt() || (x == y) != (r.Cmp(q) == 0) {
			t.Fatalf("%s and %s: %+v %+v", a, b, x, y)
		}
		if q.Sign() > 0 && x.multipleOf(y) != new(big.Rat).Quo(r, q).IsInt() {
			t.Fatalf("%s by %s", a, b)
		}
		if d, ok := decimalOf(r); !ok || d != x {
			t.Fatalf("%s is %+v, want %+v", a, d, x)
		}
	})
}

var largeExponent = regexp.MustCompile(`[0-9][eE][+-]?[0-9]{3}|[0-9]{50}`)

// The library that reads the schemas judges by itself too: both come to the same, whatever is sent.
func FuzzValidate(f *testing.F) {
	texts := []string{
		`{"type":"object","required":["a"],"properties":{"a":{"type":["integer","string"],"minimum":-5,"exclusiveMaximum":100.5,"multipleOf":0.5,"maxLength":3,"pattern":"^[a-z]*$"},"b":{"$ref":"#"}},"patternProperties":{"^x":{"enum":[1,"1",null,{"a":[1.0]}]}},"additionalProperties":{"type":"array"},"minProperties":1}`,
		`{"anyOf":[{"type":"array","prefixItems":[{"type":"string"},true],"items":{"$ref":"#"},"uniqueItems":true,"contains":{"const":1},"maxContains":2},{"type":"object","propertyNames":{"maxLength":3},"unevaluatedProperties":false,"properties":{"a":true},"dependentSchemas":{"a":{"properties":{"b":{"type":"null"}}}}},{"type":["number","null"],"not":{"const":0}}]}`,
		`{"oneOf":[{"properties":{"t":{"const":"a"}},"required":["t"]},{"properties":{"t":{"const":"b"}},"unevaluatedProperties":{"type":"number"}},{"items":{"type":"integer"},"minItems":2,"unevaluatedItems":false}],"if":{"required":["a"]},"then":{"required":["b"]},"else":{"maxProperties":2},"dependentRequired":{"b":["c"]}}`,
	}
	type pair struct {
		ours   *Schema
		theirs *jsonschema.Schema
	}
	var pairs []pair
	for _, text := range texts {
		c := jsonschema.NewCompiler()
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			f.Fatal(err)
		}
		if err := c.AddResource("x:s", doc); err != nil {
			f.Fatal(err)
		}
		theirs, err := c.Compile("x:s")
		if err != nil {
			f.Fatal(err)
		}
		pairs = append(pairs, pair{compile(f, text), theirs})
	}
	for _, seed := range []string{`{"a":1,"b":{"a":"abc"},"x":{"a":[1]},"c":[]}`, `["a",0,[1,1.0],{"t":"b","q":1}]`, `{"t":"a","a":1e1,"b":null,"c":-0.0}`, `[1,2,1]`, `null`, `{"a":100.5}`, `{"a":0.25}`, `[[],"",[1]]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := Decode([]byte(text))
		if err != nil || largeExponent.MatchString(text) {
			return // the library would work on it for long, or panic
		}
		for i, p := range pairs {
			problems := p.ours.Validate(v)
			if err := p.theirs.Validate(v); (err == nil) != (problems == nil) {
				t.Fatalf("%s by %s: %v, and %v", text, texts[i], problems, err)
			}
			if len(problems) > MaxProblems {
				t.Fatalf("%d problems", len(problems))
			}
		}
	})
}

// sample is an order of about 1 KiB.
var sample = func() []byte {
	b := []byte(`{"id":"0195f2ac-7c1e-7000-8000-000000000001","created":"2026-11-22T03:00:00Z","total":1234.50,"user":{"name":"Kari Nordmann","email":"kari@example.com"},"items":[`)
	for i := range 11 {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"sku":"A-%04d","count":%d,"price":19.90,"colour":"blue","note":"something"}`, i, i+1)
	}
	return append(b, "]}"...)
}()

const sampleSchema = `{"type":"object","required":["id","items"],"additionalProperties":false,"properties":{"id":{"type":"string","format":"uuid"},"created":{"type":"string","format":"date-time"},"total":{"type":"number","minimum":0},
	"user":{"type":"object","properties":{"name":{"type":"string","maxLength":100},"email":{"type":"string","format":"email"}}},"items":{"type":"array","minItems":1,"maxItems":100,"items":{"$ref":"#/$defs/item"}}},
	"$defs":{"item":{"type":"object","required":["sku","count"],"additionalProperties":false,"properties":{"sku":{"type":"string","pattern":"^[A-Z]-[0-9]{4}$"},"count":{"type":"integer","minimum":1},"price":{"type":"number"},"colour":{"enum":["red","blue"]},"note":{"type":"string"}}}}}`

func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(sample)))
	for b.Loop() {
		if _, err := Decode(sample); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	s, v := compile(b, sampleSchema), decode(b, string(sample))
	b.ReportAllocs()
	for b.Loop() {
		if p := s.Validate(v); p != nil {
			b.Fatal(p)
		}
	}
}

func BenchmarkTheirs(b *testing.B) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("x:s", decode(b, sampleSchema)); err != nil {
		b.Fatal(err)
	}
	s, v := c.MustCompile("x:s"), decode(b, string(sample))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Validate(v); err != nil {
			b.Fatal(err)
		}
	}
}
