package document

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// plans are how struct types are written, each worked out from its tags once.
type plans map[reflect.Type]*plan

type plan struct {
	fields []*field // in the order of the struct, inline ones in their place
	byName map[string]*field
	names  []string
	groups []group

	self, key, value, off, short *field

	blank reflect.Value // the struct with all defaults; slices in it are shared and never written
}

// group is keys of which exactly one, or at most one, may be there.
type group struct {
	names []string
	least int
}

type field struct {
	name     string
	index    []int
	typ      reflect.Type
	doc      string
	fallback string // the default tag
	defaults bool   // there is a default tag
	required bool
	one      bool
	keyed    bool
	lines    bool // multiline
	enum     []string
	bounds   *bounds
	length   *bounds
	pattern  *regexp.Regexp
	form     string // what the pattern means, in words
}

// otherCase returns the text in the case that its pattern asks for, or "".
func (f *field) otherCase(text string) string {
	for _, other := range []string{strings.ToLower(text), strings.ToUpper(text)} {
		if f.pattern.MatchString(other) {
			return other
		}
	}
	return ""
}

// bounds are a closed interval, with 0 allowed apart from it where zero is set.
type bounds struct {
	low, high float64
	zero      bool
	text      string // for people: "1 to 10", "0 or at least 1s"
	lowText   string // as written in the tag, "" when open
	highText  string
}

func (b *bounds) holds(x float64) bool {
	return b == nil || b.zero && x == 0 || x >= b.low && x <= b.high
}

var (
	nodeType   = reflect.TypeFor[Node]()
	secretType = reflect.TypeFor[Secret]()
	scalarType = reflect.TypeFor[Scalar]()
)

// scalarOf returns v as a Scalar; v must be addressable.
func scalarOf(v reflect.Value) (Scalar, bool) {
	if !reflect.PointerTo(v.Type()).Implements(scalarType) {
		return nil, false
	}
	return v.Addr().Interface().(Scalar), true
}

// isStruct says that the type is written by its tags, not as one scalar.
func isStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != nodeType && t != secretType && !reflect.PointerTo(t).Implements(scalarType)
}

// of returns the plan of a struct type. Wrong tags are our own bug, and panic.
func (ps plans) of(t reflect.Type) *plan {
	if p := ps[t]; p != nil {
		return p
	}
	p := &plan{byName: make(map[string]*field), blank: reflect.New(t).Elem()}
	p.collect(t, nil)
	ps.fill(p)
	ps[t] = p
	return p
}

func (p *plan) collect(t reflect.Type, above []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		index := append(append([]int(nil), above...), i)
		if sf.Name == "_" {
			for tag, least := range map[string]int{"oneof": 1, "atmost": 0} {
				if list := sf.Tag.Get(tag); list != "" {
					p.groups = append(p.groups, group{strings.Split(list, ","), least})
				}
			}
			continue
		}
		name, options, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		f := &field{name: name, index: index, typ: sf.Type, doc: sf.Tag.Get("doc"), required: sf.Tag.Get("required") == "true"}
		inline, named := false, name != "" && name != "-"
		for _, option := range strings.Split(options, ",") {
			switch option {
			case "":
			case "inline":
				inline = true
			case "one":
				f.one = true
			case "keyed":
				f.keyed = true
			case "multiline":
				f.lines = true
			case "short":
				p.short = f
			case "key":
				p.key = f
			case "value":
				p.value = f
			case "self":
				p.self = f
			case "off":
				p.off = f
			default:
				panic(fmt.Sprintf("BUG: %s.%s: unknown option %q in the yaml tag", t, sf.Name, option))
			}
		}
		if inline {
			p.collect(sf.Type, index)
			continue
		}
		if !named {
			f.name = ""
		}
		f.readTags(t, sf)
		if named {
			if p.byName[name] != nil {
				panic(fmt.Sprintf("BUG: %s has the key %q twice", t, name))
			}
			p.fields = append(p.fields, f)
			p.byName[name] = f
			p.names = append(p.names, name)
		}
	}
}

func (f *field) readTags(t reflect.Type, sf reflect.StructField) {
	f.fallback, f.defaults = sf.Tag.Lookup("default")
	if enum := sf.Tag.Get("enum"); enum != "" {
		f.enum = strings.Split(enum, ",")
	}
	if pattern := sf.Tag.Get("pattern"); pattern != "" {
		f.pattern = regexp.MustCompile(pattern)
		if f.form = sf.Tag.Get("form"); f.form == "" {
			panic(fmt.Sprintf("BUG: %s.%s: a pattern needs a form that says it in words", t, sf.Name))
		}
	}
	var err error
	if tag := sf.Tag.Get("range"); tag != "" {
		if f.bounds, err = parseBounds(tag, f.number); err != nil {
			panic(fmt.Sprintf("BUG: %s.%s: range %q: %v", t, sf.Name, tag, err))
		}
	}
	if tag := sf.Tag.Get("length"); tag != "" {
		if f.length, err = parseBounds(tag, plainNumber); err != nil {
			panic(fmt.Sprintf("BUG: %s.%s: length %q: %v", t, sf.Name, tag, err))
		}
	}
}

// number reads one end of a range in the unit of the field, or of its items.
func (f *field) number(text string) (float64, error) {
	t := f.typ
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	s, ok := scalarOf(reflect.New(t).Elem())
	if !ok {
		return plainNumber(text)
	}
	if err := s.ParseText(text); err != nil {
		return 0, err
	}
	o, ok := s.(ordinal)
	if !ok {
		return 0, fmt.Errorf("%s has no order", t)
	}
	return o.ordinal(), nil
}

func plainNumber(text string) (float64, error) { return strconv.ParseFloat(text, 64) }

func parseBounds(tag string, number func(string) (float64, error)) (*bounds, error) {
	b := &bounds{low: math.Inf(-1), high: math.Inf(1)}
	tag, b.zero = strings.CutPrefix(tag, "0|")
	low, high, ok := strings.Cut(tag, "..")
	if !ok {
		return nil, errors.New("no range")
	}
	var err error
	if low != "" {
		if b.low, err = number(low); err != nil {
			return nil, err
		}
	}
	if high != "" {
		if b.high, err = number(high); err != nil {
			return nil, err
		}
	}
	b.lowText, b.highText = low, high
	switch {
	case low == "":
		b.text = "at most " + high
	case high == "":
		b.text = "at least " + low
	default:
		b.text = low + " to " + high
	}
	if b.zero {
		b.text = "0 or " + b.text
	}
	return b, nil
}

// fill sets the defaults in the plan's blank.
func (ps plans) fill(p *plan) {
	all := p.fields
	if p.short != nil && p.short.name == "" {
		all = append(all[:len(all):len(all)], p.short)
	}
	for _, f := range all {
		v := p.blank.FieldByIndex(f.index)
		switch {
		case f.defaults:
			if err := setDefault(v, f); err != nil {
				panic(fmt.Sprintf("BUG: %s: default %q of %s: %v", p.blank.Type(), f.fallback, f.name, err))
			}
		case isStruct(f.typ):
			v.Set(ps.of(f.typ).blank)
		}
	}
}

// setDefault reads a default tag. It keeps no promise about ranges: a default such as 0 for "off" may lie
// outside them.
func setDefault(v reflect.Value, f *field) error {
	switch {
	case v.Kind() == reflect.Slice:
		if f.fallback == "" {
			return nil
		}
		items := strings.Split(f.fallback, ",")
		v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
		for i, item := range items {
			if err := setText(v.Index(i), item); err != nil {
				return err
			}
		}
		return nil
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return setText(v.Elem(), f.fallback)
	}
	return setText(v, f.fallback)
}

// setText sets a scalar from text that is known to be good.
func setText(v reflect.Value, text string) error {
	if s, ok := scalarOf(v); ok {
		return s.ParseText(text)
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		v.SetBool(b)
		return err
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		v.SetInt(n)
		return err
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		v.SetUint(n)
		return err
	case reflect.Float32, reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		v.SetFloat(x)
		return err
	default:
		return fmt.Errorf("%s takes no default", v.Type())
	}
	return nil
}
