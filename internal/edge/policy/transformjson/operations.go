package transformjson

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/jsonedit"
)

// Operations are what is done to a body, in the order of the fields.
type Operations struct {
	Remove []string          `yaml:"remove,one" length:"1..64" doc:"the places that are removed"`
	Rename map[string]string `yaml:"rename" length:"1..64" doc:"the members that are renamed, and their new names"`
	Move   map[string]string `yaml:"move" length:"1..64" doc:"the places whose values go elsewhere, and where they go"`
	Set    document.Node     `yaml:"set" doc:"the places that are set, and what to: any value; a text is a template"`
	At     document.Node     `yaml:",self"`
}

// value is what a place is set to when it depends on the exchange.
type value []piece

// piece is a stretch of JSON, or a template whose text becomes a string.
type piece struct {
	json     []byte
	template *policy.Template
}

// append appends the value. scratch has room for the texts in it, and grows.
func (v value) append(dst []byte, x *exchange.Exchange, scratch *[]byte) []byte {
	for _, p := range v {
		if p.template == nil {
			dst = append(dst, p.json...)
			continue
		}
		text := p.template.Append((*scratch)[:0], x)
		*scratch = text
		dst = jsonedit.AppendQuoted(dst, unsafe.String(unsafe.SliceData(text), len(text)))
	}
	return dst
}

// templates compiles the text of a string.
type templates func(text string) (*policy.Template, error)

// constant is templates for answers.
func constant(text string) (*policy.Template, error) {
	t, err := policy.NewResponseTemplate(text)
	if err == nil {
		if _, is := t.Constant(); !is {
			err = errors.New("an answer cannot be set to facts of an exchange, as a cache may give it to others; write {{ for a brace")
		}
	}
	return t, err
}

// compile makes the program of the operations under a key. values holds those that depend on the exchange, by the number of their Set.
func (ops *Operations) compile(o policy.Options, key string, text templates) (*jsonedit.Program, []value, error) {
	e := &jsonedit.Edit{Remove: ops.Remove}
	for _, path := range inOrder(ops.At.At("rename"), ops.Rename) {
		e.Rename = append(e.Rename, jsonedit.Rename{Path: path, Name: ops.Rename[path]})
	}
	for _, path := range inOrder(ops.At.At("move"), ops.Move) {
		e.Move = append(e.Move, jsonedit.Move{From: path, To: ops.Move[path]})
	}
	var values []value
	if !ops.Set.IsZero() {
		set, ok := ops.Set.Any().(map[string]any)
		if !ok {
			return nil, nil, ops.Set.Errorf("allowed: a mapping from JSON pointers to values")
		}
		for _, path := range inOrder(ops.Set, set) {
			v, err := compileValue(nil, ops.Set.At(path), text)
			if err != nil {
				return nil, nil, err
			}
			s := jsonedit.Set{Path: path}
			if len(v) == 1 && v[0].template == nil {
				s.Value = v[0].json
			}
			values = append(values, v)
			e.Set = append(e.Set, s)
		}
	}
	if len(e.Remove)+len(e.Rename)+len(e.Move)+len(e.Set) == 0 {
		return nil, nil, o.Errorf(key, "nothing is to be done; give it remove, rename, move or set")
	}
	p, err := jsonedit.Compile(e)
	if err != nil {
		var wrong *jsonedit.OpError
		if errors.As(err, &wrong) {
			return nil, nil, ops.At.At(wrong.Op).Key(wrong.Path).Errorf("%q: %s", wrong.Path, wrong.Text)
		}
		return nil, nil, o.Errorf(key, "%v", err)
	}
	return p, values, nil
}

// inOrder are the keys of a mapping as they stand in the file.
func inOrder[T any](at document.Node, m map[string]T) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		x, y := at.Key(a), at.Key(b)
		if x.Line() != y.Line() {
			return x.Line() - y.Line()
		}
		if x.Column() != y.Column() {
			return x.Column() - y.Column()
		}
		return strings.Compare(a, b) // of an alias, perhaps
	})
}

// compileValue appends a value as JSON, with what is constant in as few pieces as can be.
func compileValue(v value, n document.Node, text templates) (value, error) {
	var err error
	switch written := n.Any().(type) {
	case nil:
		return v.add("null"), nil
	case bool:
		return v.add(strconv.FormatBool(written)), nil
	case float64:
		return number(v, n, written)
	case string:
		if err := n.Decode(&written); err != nil { // variables
			return nil, err
		}
		t, err := text(written)
		if err != nil {
			return nil, n.Errorf("%v", err)
		}
		if constant, is := t.Constant(); is {
			return v.add(string(jsonedit.AppendQuoted(nil, constant))), nil
		}
		return append(v, piece{template: t}), nil
	case []any:
		v = v.add("[")
		for i := range written {
			if i > 0 {
				v = v.add(",")
			}
			if v, err = compileValue(v, n.At(i), text); err != nil {
				return nil, err
			}
		}
		return v.add("]"), nil
	case map[string]any:
		v = v.add("{")
		for i, key := range inOrder(n, written) {
			if i > 0 {
				v = v.add(",")
			}
			v = v.add(string(jsonedit.AppendQuoted(nil, key)) + ":")
			if v, err = compileValue(v, n.At(key), text); err != nil {
				return nil, err
			}
		}
		return v.add("}"), nil
	}
	return nil, n.Errorf("allowed: a value that JSON has")
}

// add appends JSON to the last piece when that is JSON too.
func (v value) add(json string) value {
	if last := len(v) - 1; last >= 0 && v[last].template == nil {
		v[last].json = append(v[last].json, json...)
		return v
	}
	return append(v, piece{json: []byte(json)})
}

// number appends a number: whole ones with all their digits, others as the shortest text for the float64 they are.
func number(v value, n document.Node, f float64) (value, error) {
	var exact integer
	if n.Decode(&exact) == nil && exact != "" {
		return v.add(string(exact)), nil
	}
	text := fmt.Sprint(f)
	if jsonedit.Check([]byte(text), &jsonedit.Limits{Depth: 1}) != nil {
		return nil, n.Errorf("JSON has no such number")
	}
	return v.add(text), nil
}

// integer is a whole number as it is written.
type integer string

// Form implements document.Scalar.
func (*integer) Form() document.Form {
	return document.Form{Noun: "a whole number", Type: "integer", Number: true}
}

// String implements document.Scalar.
func (w *integer) String() string { return string(*w) }

// ParseText implements document.Scalar.
func (w *integer) ParseText(text string) error {
	text = strings.TrimPrefix(text, "+")
	if err := jsonedit.Check([]byte(text), &jsonedit.Limits{Depth: 1}); err != nil {
		return err
	}
	*w = integer(text)
	return nil
}
