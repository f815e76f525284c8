package document

import (
	"reflect"
	"strings"
)

// A Key describes one key of a document for the reference in the docs.
type Key struct {
	Path     string // upstreams.<name>.endpoints[].weight
	Type     string // duration, list of strings, mapping, one of a, b ...
	Default  string // as written; "" when there is none
	Range    string // bounds, lengths; "" when there are none
	Required bool
	Doc      string
}

// Keys lists the keys of the documents that decode into v's type, in the order of the struct, each before
// those below it.
func Keys(v any) []Key {
	k := keys{plans: make(plans)}
	k.structure("", reflect.TypeOf(v))
	return k.list
}

type keys struct {
	plans plans
	list  []Key
	open  []reflect.Type // being listed; a type within itself is listed once
}

func (k *keys) structure(path string, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for _, o := range k.open {
		if o == t {
			return
		}
	}
	k.open = append(k.open, t)
	defer func() { k.open = k.open[:len(k.open)-1] }()
	for _, f := range k.plans.of(t).fields {
		at := f.name
		if path != "" {
			at = path + "." + f.name
		}
		fallback := f.fallback
		if isStruct(f.typ) {
			if short := k.plans.of(f.typ).short; short != nil && short.name == "" {
				fallback = short.fallback
			}
		}
		k.list = append(k.list, Key{
			Path: at, Type: k.typeText(f.typ, f), Default: fallback, Range: rangeText(f), Required: f.required, Doc: f.doc,
		})
		below, t := at, f.typ
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			if t.Kind() == reflect.Slice && f.keyed {
				below += ".<name>"
			} else if t.Kind() == reflect.Slice {
				below += "[]"
			}
			t = t.Elem()
		}
		if isStruct(t) {
			k.structure(below, t)
		}
	}
}

func (k *keys) typeText(t reflect.Type, f *field) string {
	switch {
	case t == nodeType:
		return "any"
	case t == secretType:
		return "secret"
	case reflect.PointerTo(t).Implements(scalarType):
		return reflect.New(t).Interface().(Scalar).Form().Type
	}
	switch t.Kind() {
	case reflect.Pointer:
		return k.typeText(t.Elem(), f)
	case reflect.Slice:
		if f.keyed {
			return "mapping from names"
		}
		item := k.typeText(t.Elem(), f)
		if f.one {
			return item + ", or a list"
		}
		return "list of: " + item
	case reflect.Map:
		return "mapping to: " + k.typeText(t.Elem(), f)
	case reflect.String:
		if f.enum != nil {
			return strings.Join(f.enum, ", ")
		}
		return "string"
	case reflect.Bool:
		return "true, false"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Struct:
		p := k.plans.of(t)
		text := "mapping"
		switch {
		case p.key != nil && p.value != nil:
			return "mapping with one key"
		case p.short != nil:
			text = k.typeText(p.short.typ, p.short) + ", or a mapping"
		}
		if p.off != nil {
			text += ", or off"
		}
		return text
	}
	return "whole number"
}

// rangeText joins what the tags say of bounds, length and pattern.
func rangeText(f *field) string {
	var parts []string
	if f.bounds != nil {
		parts = append(parts, f.bounds.text)
	}
	if f.length != nil {
		what := " bytes"
		switch {
		case f.keyed || f.typ.Kind() == reflect.Map:
			what = " keys"
		case f.typ.Kind() == reflect.Slice:
			what = " items"
		}
		parts = append(parts, f.length.text+what)
	}
	if f.pattern != nil {
		parts = append(parts, f.form)
	}
	return strings.Join(parts, "; ")
}
