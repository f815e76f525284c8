package document

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Schema returns the JSON Schema (2020-12) of the documents that decode into v's type, from the same tags.
// blocks are the options structs of what is written {name: options} in a struct with ",key" and ",value";
// with none, any name and any options are allowed there.
//
// The schema is for editors. It cannot say all the decoder checks: bounds of values with units, names that
// must exist elsewhere, and numbers written in other than decimal digits stay with the decoder.
func Schema(title string, v any, blocks map[string]any) ([]byte, error) {
	s := schemas{plans: make(plans), blocks: blocks, defs: make(map[string]any), names: make(map[reflect.Type]string)}
	root := s.structure(reflect.TypeOf(v))
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = title
	s.defs["variable"] = map[string]any{
		"type": "string", "pattern": `\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}`,
		"description": "A value from the environment: ${NAME} or ${NAME:-default}.",
	}
	root["$defs"] = s.defs
	return json.MarshalIndent(root, "", "  ")
}

type schemas struct {
	plans  plans
	blocks map[string]any
	defs   map[string]any
	names  map[reflect.Type]string
}

var variable = map[string]any{"$ref": "#/$defs/variable"}

// of returns the schema of a type under the tags of a field.
func (s *schemas) of(t reflect.Type, f *field) map[string]any {
	switch {
	case t == nodeType:
		return map[string]any{"not": map[string]any{"type": "null"}}
	case t == secretType:
		return map[string]any{"type": "string", "minLength": 1}
	case reflect.PointerTo(t).Implements(scalarType):
		return s.scalar(t)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem(), f)
	case reflect.Struct:
		return s.reference(t)
	case reflect.Slice:
		return s.list(t, f)
	case reflect.Map:
		item := *f
		item.length, item.pattern = nil, nil
		m := map[string]any{"type": "object", "additionalProperties": s.of(t.Elem(), &item)}
		limit(m, f.length, "minProperties", "maxProperties")
		if f.pattern != nil {
			m["propertyNames"] = map[string]any{"pattern": f.pattern.String()}
		}
		return m
	case reflect.Bool:
		return either(map[string]any{"type": "boolean"}, variable)
	case reflect.String:
		return s.str(f)
	case reflect.Float32, reflect.Float64:
		m := map[string]any{"type": "number"}
		limit(m, f.bounds, "minimum", "maximum")
		return either(m, variable)
	default:
		m := map[string]any{"type": "integer"}
		limit(m, f.bounds, "minimum", "maximum")
		return either(m, variable)
	}
}

func (s *schemas) str(f *field) map[string]any {
	if f.enum != nil {
		return either(map[string]any{"enum": f.enum}, variable)
	}
	m := map[string]any{"type": "string"}
	// JSON Schema counts characters and the decoder bytes, so only the lower end is the same for both.
	if f.length != nil && f.length.lowText == "1" {
		m["minLength"] = 1
	}
	if f.pattern != nil {
		m["pattern"] = f.pattern.String()
		return either(m, variable)
	}
	return m
}

func (s *schemas) scalar(t reflect.Type) map[string]any {
	form := reflect.New(t).Interface().(Scalar).Form()
	forms := []map[string]any{{"type": "string", "pattern": form.Pattern}}
	if form.Number {
		forms = append(forms, map[string]any{"type": "integer", "minimum": 0})
	} else if form.Zero {
		forms = append(forms, map[string]any{"const": 0})
	}
	return either(append(forms, variable)...)
}

func (s *schemas) list(t reflect.Type, f *field) map[string]any {
	if f.keyed {
		m := map[string]any{"type": "object", "additionalProperties": s.of(t.Elem(), &field{})}
		limit(m, f.length, "minProperties", "maxProperties")
		if f.pattern != nil {
			m["propertyNames"] = map[string]any{"pattern": f.pattern.String()}
		}
		return m
	}
	item := *f
	item.length, item.one = nil, false
	one := s.of(t.Elem(), &item)
	m := map[string]any{"type": "array", "items": one}
	limit(m, f.length, "minItems", "maxItems")
	if f.one {
		return either(one, m)
	}
	return m
}

// reference puts a struct's schema in $defs once and points there.
func (s *schemas) reference(t reflect.Type) map[string]any {
	name, ok := s.names[t]
	if !ok {
		name = t.Name()
		for n := 2; s.defs[name] != nil || name == ""; n++ {
			name = t.Name() + strconv.Itoa(n)
		}
		s.names[t] = name
		s.defs[name] = map[string]any{} // holds the name while the struct refers to itself
		s.defs[name] = s.structure(t)
	}
	return map[string]any{"$ref": "#/$defs/" + name}
}

func (s *schemas) structure(t reflect.Type) map[string]any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	p := s.plans.of(t)
	if p.key != nil && p.value != nil {
		return s.single()
	}
	properties := make(map[string]any)
	var required []string
	for _, f := range p.fields {
		properties[f.name] = described(s.of(f.typ, f), f)
		if f.required {
			required = append(required, f.name)
		}
	}
	m := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if required != nil {
		m["required"] = required
	}
	var all []any
	for _, g := range p.groups {
		var only []any
		for _, name := range g.names {
			only = append(only, map[string]any{"required": []string{name}})
		}
		if g.least == 0 {
			only = append(only, map[string]any{"not": map[string]any{"anyOf": only[:len(only):len(only)]}})
		}
		all = append(all, map[string]any{"oneOf": only})
	}
	if all != nil {
		m["allOf"] = all
	}
	forms := []map[string]any{m}
	if p.off != nil {
		forms = append(forms, map[string]any{"const": "off"})
	}
	if p.short != nil {
		alone := true
		for _, f := range p.fields {
			alone = alone && (!f.required || f.name == p.short.name)
		}
		if alone {
			forms = append(forms, s.of(p.short.typ, p.short))
		}
	}
	return either(forms...)
}

func (s *schemas) single() map[string]any {
	m := map[string]any{"type": "object", "minProperties": 1, "maxProperties": 1}
	if len(s.blocks) == 0 {
		m["additionalProperties"] = map[string]any{"not": map[string]any{"type": "null"}}
		return m
	}
	properties := make(map[string]any, len(s.blocks))
	for name, options := range s.blocks {
		t := reflect.TypeOf(options)
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		def := "policy_" + name
		s.defs[def] = s.structure(t)
		properties[name] = either(map[string]any{"$ref": "#/$defs/" + def}, map[string]any{"const": Off})
	}
	m["properties"], m["additionalProperties"] = properties, false
	return m
}

// either allows any of the forms. A single one stands for itself.
func either(forms ...map[string]any) map[string]any {
	if len(forms) == 1 {
		return forms[0]
	}
	return map[string]any{"anyOf": forms}
}

func limit(m map[string]any, b *bounds, low, high string) {
	if b == nil || b.zero {
		return
	}
	if b.lowText != "" {
		m[low] = b.low
	}
	if b.highText != "" {
		m[high] = b.high
	}
}

// described adds what editors show on a key.
func described(m map[string]any, f *field) map[string]any {
	text := f.doc
	if r := rangeText(f); r != "" {
		text = strings.TrimSpace(text + " Allowed: " + r + ".")
	}
	if f.defaults && f.fallback != "" {
		text = strings.TrimSpace(fmt.Sprintf("%s Default: %s.", text, f.fallback))
	}
	if text != "" {
		m["description"] = text
	}
	return m
}
