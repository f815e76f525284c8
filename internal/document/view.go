package document

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A View is a decoded value written out again, defaults included, secrets replaced by ***. Decoding its YAML
// gives the same value, but for the secrets.
type View struct{ root *yaml.Node }

// NewView makes the view of a struct that Decode filled. blocks are the options structs of what is written
// {name: options}: they tell which options are secret. Options of a name that is not among them are hidden
// whole, value by value.
//
// A zero value whose default is zero is left out, and so is a string that its own pattern refuses: that was
// filled in later, from something else in the document.
func NewView(v any, blocks map[string]any) View {
	w := viewer{plans: make(plans), blocks: blocks}
	value := reflect.New(reflect.TypeOf(v)).Elem()
	value.Set(reflect.ValueOf(v))
	for value.Kind() == reflect.Pointer {
		value = value.Elem()
	}
	return View{w.value(value, &field{})}
}

// MarshalYAML gives the YAML library what to write.
func (v View) MarshalYAML() (any, error) { return v.root, nil }

// YAML writes the view as a document.
func (v View) YAML() ([]byte, error) { return yaml.Dump(v.root) }

// MarshalJSON writes the same as JSON, keys in the same order.
func (v View) MarshalJSON() ([]byte, error) { return appendJSON(nil, v.root) }

func appendJSON(b []byte, n *yaml.Node) ([]byte, error) {
	var err error
	switch n.Kind {
	case yaml.MappingNode:
		b = append(b, '{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				b = append(b, ',')
			}
			key, _ := json.Marshal(n.Content[i].Value)
			b = append(append(b, key...), ':')
			if b, err = appendJSON(b, n.Content[i+1]); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case yaml.SequenceNode:
		b = append(b, '[')
		for i, item := range n.Content {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendJSON(b, item); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	}
	switch n.Tag {
	case "!!int", "!!float", "!!bool":
		if json.Valid([]byte(n.Value)) {
			return append(b, n.Value...), nil
		}
	case "!!null":
		return append(b, "null"...), nil
	}
	text, err := json.Marshal(n.Value)
	return append(b, text...), err
}

type viewer struct {
	plans  plans
	blocks map[string]any
}

func word(tag, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
}

func text(value string) *yaml.Node { return word("!!str", value) }

// value writes one value, or returns nil for what is left out.
func (w viewer) value(v reflect.Value, f *field) *yaml.Node {
	t := v.Type()
	switch {
	case t == nodeType:
		if n := v.Interface().(Node); n.n != nil {
			return w.raw(n.n, nil)
		}
		return nil
	case t == secretType:
		if v.Interface().(Secret).IsZero() {
			return nil
		}
		return text(hidden)
	case reflect.PointerTo(t).Implements(scalarType):
		s, _ := scalarOf(v)
		if written := s.String(); s.Form().Number && strings.Trim(written, "0123456789") == "" {
			return word("!!int", written)
		} else if written != "" {
			return text(written)
		}
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return w.value(v.Elem(), f)
	case reflect.Struct:
		return w.structure(v)
	case reflect.Slice:
		return w.list(v, f)
	case reflect.Map:
		return w.mapping(v, f)
	case reflect.String:
		if f.pattern != nil && !f.pattern.MatchString(v.String()) || f.enum != nil && v.String() == "" {
			return nil
		}
		return text(escape(v.String()))
	case reflect.Bool:
		return word("!!bool", strconv.FormatBool(v.Bool()))
	case reflect.Float32, reflect.Float64:
		return word("!!float", strconv.FormatFloat(v.Float(), 'f', -1, 64))
	}
	return word("!!int", fmt.Sprint(v.Interface()))
}

func (w viewer) structure(v reflect.Value) *yaml.Node {
	p := w.plans.of(v.Type())
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	if p.off != nil && v.FieldByIndex(p.off.index).Bool() {
		return text("off")
	}
	if p.key != nil && p.value != nil {
		name := v.FieldByIndex(p.key.index).String()
		options := v.FieldByIndex(p.value.index).Interface().(Node)
		if options.n == nil {
			return nil
		}
		var t reflect.Type
		if block := w.blocks[name]; block != nil {
			t = reflect.TypeOf(block)
		}
		m.Content = append(m.Content, text(name), w.raw(options.n, t))
		return m
	}
	for _, f := range p.fields {
		field := v.FieldByIndex(f.index)
		if field.IsZero() && p.blank.FieldByIndex(f.index).IsZero() && !f.required {
			continue
		}
		if n := w.value(field, f); n != nil {
			m.Content = append(m.Content, text(f.name), n)
		}
	}
	if p.short != nil && p.short.name == "" && len(m.Content) == 0 {
		return w.value(v.FieldByIndex(p.short.index), p.short)
	}
	return m
}

func (w viewer) list(v reflect.Value, f *field) *yaml.Node {
	if f.keyed {
		key := w.plans.of(v.Type().Elem()).key
		m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for i := range v.Len() {
			if n := w.value(v.Index(i), &field{}); n != nil {
				m.Content = append(m.Content, text(v.Index(i).FieldByIndex(key.index).String()), n)
			}
		}
		return m
	}
	l := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	item := *f
	for i := range v.Len() {
		if n := w.value(v.Index(i), &item); n != nil {
			l.Content = append(l.Content, n)
		}
	}
	return l
}

func (w viewer) mapping(v reflect.Value, f *field) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	item := *f
	item.pattern = nil
	names := make([]string, 0, v.Len())
	for _, k := range v.MapKeys() {
		names = append(names, k.String())
	}
	sort.Strings(names)
	for _, name := range names {
		value := reflect.New(v.Type().Elem()).Elem()
		value.Set(v.MapIndex(reflect.ValueOf(name)))
		if n := w.value(value, &item); n != nil {
			m.Content = append(m.Content, text(name), n)
		}
	}
	return m
}

// raw writes what was kept undecoded, as it stands in the document. t is the type it will be decoded into, or
// nil when that is unknown: then no scalar is shown.
func (w viewer) raw(n *node, t reflect.Type) *yaml.Node {
	n = n.follow()
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch n.kind {
	case kindMapping:
		m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for i := 0; i+1 < len(n.kids); i += 2 {
			key := n.kids[i].value
			m.Content = append(m.Content, text(key), w.raw(&n.kids[i+1], w.below(t, key)))
		}
		return m
	case kindList:
		l := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		var item reflect.Type
		if t != nil && t.Kind() == reflect.Slice {
			item = t.Elem()
		}
		for i := range n.kids {
			l.Content = append(l.Content, w.raw(&n.kids[i], item))
		}
		return l
	}
	for t != nil && t.Kind() == reflect.Slice { // ",one"
		t = t.Elem()
	}
	if t != nil && isStruct(t) {
		if p := w.plans.of(t); p.short != nil && n.kind == kindString && n.value != "off" {
			t = p.short.typ
		} else if p.off == nil || n.value != "off" {
			t = nil
		}
	}
	switch {
	case t == nil || t == secretType || t == nodeType:
		return text(hidden)
	case n.kind == kindInt:
		return word("!!int", n.value)
	case n.kind == kindFloat:
		return word("!!float", n.value)
	case n.kind == kindBool:
		return word("!!bool", n.value)
	case n.kind == kindNull:
		return word("!!null", "null")
	}
	return text(n.value)
}

// below is the type of what stands under a key of a type, or nil.
func (w viewer) below(t reflect.Type, key string) reflect.Type {
	switch {
	case t == nil:
	case isStruct(t):
		if f := w.plans.of(t).byName[key]; f != nil {
			return f.typ
		}
	case t.Kind() == reflect.Map:
		return t.Elem()
	case t.Kind() == reflect.Slice: // ",keyed"
		return t.Elem()
	}
	return nil
}
