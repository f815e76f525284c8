package document

import (
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// Decode fills the struct, or other value, that into points to. The error is *Problems and holds every
// problem; into is then filled as far as the document was right. A document or options block that is empty
// gives the defaults.
func (n Node) Decode(into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic("BUG: document: Decode needs a pointer")
	}
	v = v.Elem()
	if n.n == nil || n.doc == nil {
		if isStruct(v.Type()) {
			v.Set(make(plans).of(v.Type()).blank)
		}
		return nil
	}
	d := decoding{doc: n.doc}
	at := n.n.follow()
	if at.kind == kindNull && isStruct(v.Type()) {
		at = &node{kind: kindMapping, line: at.line, column: at.column}
	}
	d.value(at, v, &field{typ: v.Type()})
	return d.problems.Err()
}

type decoding struct {
	doc      *Document
	problems Problems
}

func (d *decoding) plan(t reflect.Type) *plan {
	d.doc.mu.Lock()
	defer d.doc.mu.Unlock()
	return d.doc.plans.of(t)
}

func (d *decoding) blame(n *node, format string, args ...any) *Problem {
	if d.problems.Len() == MaxProblems {
		d.problems.dropped++
		return new(Problem)
	}
	d.problems.add(Node{d.doc, n}.Errorf(format, args...))
	return &d.problems.list[d.problems.Len()-1]
}

// expected blames the node for not being what noun says.
func (d *decoding) expected(n *node, noun string) *Problem {
	if n.kind == kindNull {
		return d.blame(n, "has no value; allowed: %s; or remove the key", noun)
	}
	return d.blame(n, "found %s; allowed: %s", found(n), noun)
}

// value decodes one node. f carries the tags that hold for it; for the items of a list, those of the list.
func (d *decoding) value(n *node, v reflect.Value, f *field) {
	t := v.Type()
	if t == nodeType {
		if n.follow().kind == kindNull {
			d.expected(n.follow(), "a value ({} for the defaults)")
			return
		}
		v.Set(reflect.ValueOf(Node{d.doc, n}))
		return
	}
	n = n.follow()
	switch {
	case t == secretType:
		d.secret(n, v)
		return
	case reflect.PointerTo(t).Implements(scalarType):
		d.scalar(n, v, f)
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		if n.kind != kindNull {
			v.Set(reflect.New(t.Elem()))
		} else {
			v = reflect.New(t) // only to say what is allowed
			v.Elem().Set(reflect.New(t.Elem()))
			v = v.Elem()
		}
		d.value(n, v.Elem(), f)
	case reflect.Struct:
		d.structure(n, v)
	case reflect.Slice:
		if f.keyed {
			d.keyed(n, v, f)
		} else {
			d.list(n, v, f)
		}
	case reflect.Map:
		d.mapping(n, v, f)
	case reflect.String:
		d.str(n, v, f)
	case reflect.Bool:
		d.boolean(n, v)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.integer(n, v, f)
	case reflect.Float32, reflect.Float64:
		d.float(n, v, f)
	default:
		panic(fmt.Sprintf("BUG: document: cannot decode into %s", t))
	}
}

// structure decodes a mapping, or the short form of one.
func (d *decoding) structure(n *node, v reflect.Value) {
	p := d.plan(v.Type())
	v.Set(p.blank)
	if p.self != nil {
		v.FieldByIndex(p.self.index).Set(reflect.ValueOf(Node{d.doc, n}))
	}
	if p.key != nil && p.value != nil {
		d.single(n, v, p)
		return
	}
	if n.kind != kindMapping {
		d.shortForm(n, v, p)
		return
	}
	if p.short != nil && p.short.name == "" {
		v.FieldByIndex(p.short.index).SetZero()
	}
	for i := 0; i+1 < len(n.kids); i += 2 {
		key := &n.kids[i]
		f := p.byName[key.value]
		if f == nil && !isKey(key) {
			continue // Parse has blamed it
		}
		if f == nil {
			d.blame(key, "unknown key%s", among(p.names)).Suggestion = Suggest(key.value, p.names)
			continue
		}
		d.value(&n.kids[i+1], v.FieldByIndex(f.index), f)
	}
	d.complete(n, p)
}

// complete checks which keys are there.
func (d *decoding) complete(n *node, p *plan) {
	at := Node{d.doc, n}
	for _, f := range p.fields {
		if f.required && !at.Has(f.name) {
			d.blame(n, "the key %s is missing; it is required", f.name)
		}
	}
	for _, g := range p.groups {
		var there []string
		for _, name := range g.names {
			if at.Has(name) {
				there = append(there, name)
			}
		}
		switch {
		case len(there) > 1:
			p := at.Key(there[1]).Errorf("found the keys %s; only one of %s is allowed", strings.Join(there, " and "), strings.Join(g.names, ", "))
			d.problems.add(p)
		case len(there) < g.least:
			d.blame(n, "one of the keys %s is required", strings.Join(g.names, ", "))
		}
	}
}

func (d *decoding) shortForm(n *node, v reflect.Value, p *plan) {
	noun := structNoun(p)
	if n.kind == kindNull {
		noun += ", {} for its defaults"
	}
	if n.kind >= kindList || n.kind == kindNull || p.off == nil && p.short == nil {
		d.expected(n, noun)
		return
	}
	if p.off != nil {
		text, _, ok := d.text(n)
		switch {
		case !ok:
			return
		case text == "off" && n.kind == kindString:
			v.FieldByIndex(p.off.index).SetBool(true)
			return
		case p.short == nil:
			p := d.expected(n, noun)
			if p.Suggestion = Suggest(n.value, []string{"off"}); n.kind == kindBool || n.value == "no" {
				p.Suggestion = "off"
			}
			return
		}
	}
	f := *p.short
	if f.name == "" {
		if len(p.fields) > 0 && f.enum != nil { // the keys are allowed as well as the words
			d.enum(n, v.FieldByIndex(f.index), &f, "; or "+noun)
			return
		}
	}
	d.value(n, v.FieldByIndex(f.index), &f)
	for _, other := range p.fields {
		if other.required && other.name != f.name {
			d.blame(n, "the key %s is missing; write it as a mapping", other.name)
		}
	}
}

// structNoun says how a struct is written.
func structNoun(p *plan) string {
	noun := "a mapping" + strings.Replace(among(p.names), "; allowed: ", " with the keys ", 1)
	if p.off != nil {
		noun += ", or off"
	}
	return noun
}

// single decodes {key: value}.
func (d *decoding) single(n *node, v reflect.Value, p *plan) {
	switch {
	case n.kind == kindString:
		d.expected(n, "a mapping with one key; write {"+clip(n.value)+": {}}")
		return
	case n.kind != kindMapping:
		d.expected(n, "a mapping with one key")
		return
	case len(n.kids) != 2:
		at := n
		if len(n.kids) > 2 {
			at = &n.kids[2]
		}
		d.blame(at, "found %d keys; allowed: one key in each item of the list", len(n.kids)/2)
		if len(n.kids) == 0 {
			return
		}
	}
	v.FieldByIndex(p.key.index).SetString(n.kids[0].value)
	d.value(&n.kids[1], v.FieldByIndex(p.value.index), p.value)
}

func (d *decoding) list(n *node, v reflect.Value, f *field) {
	item := *f
	item.length, item.one = nil, false
	if n.kind != kindList {
		if f.one && n.kind != kindNull {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			d.value(n, v.Index(0), &item)
			return
		}
		d.expected(n, "a list")
		return
	}
	if !d.fits(n, len(n.kids), f, "items") {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.kids), len(n.kids)))
	for i := range n.kids {
		d.value(&n.kids[i], v.Index(i), &item)
	}
}

// keyed decodes a mapping into a slice of structs, in the order of the file.
func (d *decoding) keyed(n *node, v reflect.Value, f *field) {
	if n.kind != kindMapping {
		d.expected(n, "a mapping from names to values")
		return
	}
	if !d.fits(n, len(n.kids)/2, f, "keys") {
		return
	}
	key := d.plan(v.Type().Elem()).key
	if key == nil {
		panic(fmt.Sprintf("BUG: document: %s has no field for its key", v.Type().Elem()))
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.kids)/2, len(n.kids)/2))
	for i := range v.Len() {
		d.keyMatches(&n.kids[2*i], f)
		d.value(&n.kids[2*i+1], v.Index(i), &field{typ: v.Type().Elem()})
		v.Index(i).FieldByIndex(key.index).SetString(n.kids[2*i].value)
	}
}

func (d *decoding) mapping(n *node, v reflect.Value, f *field) {
	if n.kind != kindMapping {
		d.expected(n, "a mapping")
		return
	}
	if !d.fits(n, len(n.kids)/2, f, "keys") {
		return
	}
	item := *f
	item.length, item.pattern = nil, nil
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.kids)/2))
	for i := 0; i+1 < len(n.kids); i += 2 {
		d.keyMatches(&n.kids[i], f)
		value := reflect.New(v.Type().Elem()).Elem()
		d.value(&n.kids[i+1], value, &item)
		v.SetMapIndex(reflect.ValueOf(n.kids[i].value), value)
	}
}

func (d *decoding) keyMatches(key *node, f *field) {
	if f.pattern != nil && !f.pattern.MatchString(key.value) {
		d.blame(key, "found the name %s; allowed: %s", quote(key.value), f.form).Suggestion = f.otherCase(key.value)
	}
}

func (d *decoding) fits(n *node, length int, f *field, what string) bool {
	if f.length.holds(float64(length)) {
		return true
	}
	d.blame(n, "found %d %s; allowed: %s", length, what, f.length.text)
	return false
}

// text returns a scalar with its variables expanded, and how to show it in a problem.
func (d *decoding) text(n *node) (text, shown string, ok bool) {
	if n.kind != kindString {
		return n.value, found(n), true
	}
	text, expanded, err := d.doc.expand(n.value)
	if err != nil {
		d.blame(n, "%s", err)
		return "", "", false
	}
	if shown = found(n); expanded {
		shown += " (the value of the variable is not shown)"
	}
	return text, shown, true
}

// expandedText is text for types written without quotes: a quoted "5" is no number, a ${N} that gives 5 is.
func (d *decoding) expandedText(n *node, noun string, kinds ...kind) (text, shown string, ok bool) {
	for _, k := range kinds {
		if n.kind == k {
			return n.value, found(n), true
		}
	}
	if n.kind != kindString || !strings.Contains(n.value, "${") {
		d.expected(n, noun)
		return "", "", false
	}
	return d.text(n)
}

func (d *decoding) str(n *node, v reflect.Value, f *field) {
	if f.enum != nil {
		d.enum(n, v, f, "")
		return
	}
	if n.kind != kindString {
		noun := "a string"
		if n.kind != kindNull && n.kind < kindList {
			noun = "a string; put it in quotes"
		}
		d.expected(n, noun)
		return
	}
	text, shown, ok := d.text(n)
	if !ok {
		return
	}
	if c, bad := control(text, f.lines); bad {
		d.blame(n, "found the control character 0x%02x in a string; remove it", c)
		return
	}
	if !f.length.holds(float64(len(text))) {
		d.blame(n, "found a string of %d bytes; allowed: %s", len(text), f.length.text)
		return
	}
	if f.pattern != nil && !f.pattern.MatchString(text) {
		p := d.blame(n, "found %s; allowed: %s", shown, f.form)
		if n.value == text { // not from the environment
			p.Suggestion = f.otherCase(text)
		}
		return
	}
	v.SetString(text)
}

// control returns the first control character of a text.
func control(text string, lines bool) (byte, bool) {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == 0x7f {
			if !lines || c != '\n' && c != '\t' {
				return c, true
			}
		}
	}
	return 0, false
}

func (d *decoding) enum(n *node, v reflect.Value, f *field, more string) {
	words := strings.Join(f.enum, ", ") + more
	if n.kind >= kindList || n.kind == kindNull {
		d.expected(n, words)
		return
	}
	text, shown, ok := d.text(n)
	if !ok {
		return
	}
	if n.kind == kindString {
		for _, word := range f.enum {
			if word == text {
				v.SetString(text)
				return
			}
		}
	}
	d.blame(n, "found %s; allowed: %s", shown, words).Suggestion = Suggest(text, f.enum)
}

func (d *decoding) boolean(n *node, v reflect.Value) {
	const noun = "true or false"
	if word, ok := booleanWords[strings.ToLower(n.value)]; ok && n.kind == kindString {
		d.expected(n, noun).Suggestion = word
		return
	}
	text, shown, ok := d.expandedText(n, noun, kindBool)
	if !ok {
		return
	}
	switch strings.ToLower(text) {
	case "true":
		v.SetBool(true)
	case "false":
		v.SetBool(false)
	default:
		d.blame(n, "found %s; allowed: %s", shown, noun)
	}
}

// booleanWords are those of YAML 1.1 that are strings since YAML 1.2.
var booleanWords = map[string]string{"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}

func (d *decoding) integer(n *node, v reflect.Value, f *field) {
	noun := "a whole number"
	if f.bounds != nil {
		noun += ", " + f.bounds.text
	}
	text, shown, ok := d.expandedText(n, noun, kindInt)
	if !ok {
		return
	}
	digits := strings.TrimLeft(text, "+-")
	x, err := strconv.ParseInt(text, 10, 64)
	if err != nil || len(digits) > 1 && digits[0] == '0' {
		d.blame(n, "found %s; allowed: %s, in decimal digits only", shown, noun)
		return
	}
	signed := v.CanInt()
	if !f.bounds.holds(float64(x)) || signed && v.OverflowInt(x) || !signed && (x < 0 || v.OverflowUint(uint64(x))) {
		d.blame(n, "found %s; allowed: %s", shown, noun)
		return
	}
	if signed {
		v.SetInt(x)
	} else {
		v.SetUint(uint64(x))
	}
}

func (d *decoding) float(n *node, v reflect.Value, f *field) {
	noun := "a number"
	if f.bounds != nil {
		noun += ", " + f.bounds.text
	}
	text, shown, ok := d.expandedText(n, noun, kindInt, kindFloat)
	if !ok {
		return
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(x, 0) || math.IsNaN(x) || !f.bounds.holds(x) {
		d.blame(n, "found %s; allowed: %s", shown, noun)
		return
	}
	v.SetFloat(x)
}

func (d *decoding) scalar(n *node, v reflect.Value, f *field) {
	s, _ := scalarOf(v)
	form := s.Form()
	if n.kind >= kindList || n.kind == kindNull {
		d.expected(n, form.Noun)
		return
	}
	text, shown, ok := d.text(n)
	if !ok {
		return
	}
	var clause string
	err := s.ParseText(text)
	if err != nil && shown == found(n) { // the clause may quote the text, which from the environment is not shown
		clause = ", " + err.Error()
	}
	plain := n.kind == kindString || n.kind == kindInt && (form.Number || form.Zero && n.value == "0")
	if err != nil || !plain {
		v.SetZero()
		d.blame(n, "found %s%s; allowed: %s", shown, clause, form.Noun)
		return
	}
	if o, ok := s.(ordinal); ok && !f.bounds.holds(o.ordinal()) {
		v.SetZero()
		d.blame(n, "found %s; allowed: %s", shown, f.bounds.text)
	}
}

// secret decodes a Secret. No problem made here shows what was found.
func (d *decoding) secret(n *node, v reflect.Value) {
	const noun = "a string, ${VARIABLE} or file:/path"
	d.doc.hide(n)
	if n.kind == kindString && n.value == hidden {
		d.blame(n, "found %s, which config show prints in place of a secret; write the secret, ${NAME} or file:/path", hidden)
		return
	}
	if n.kind != kindString {
		if n.kind == kindNull || n.kind >= kindList {
			d.expected(n, noun)
		} else {
			d.blame(n, "found a number or word that is no string; allowed: %s; put it in quotes", noun)
		}
		return
	}
	text, _, err := d.doc.expand(n.value)
	if err != nil {
		if strings.HasPrefix(err.Error(), "found") {
			err = fmt.Errorf("found ${ that is no ${VARIABLE} in a secret; write $$ for a dollar sign")
		}
		d.blame(n, "%s", err)
		return
	}
	if strings.HasPrefix(n.value, "file:") {
		text, err = d.doc.secretFile(strings.TrimPrefix(text, "file:"))
		if err != nil {
			d.blame(n, "%s", err)
			return
		}
	}
	if text == "" {
		d.blame(n, "the secret is empty; allowed: %s", noun)
		return
	}
	v.Set(reflect.ValueOf(NewSecret(text)))
}

// secretFile reads the file a secret refers to. A path that comes from the document is no secret itself.
func (d *Document) secretFile(path string) (string, error) {
	switch {
	case d.sources.ReadFile == nil:
		return "", fmt.Errorf("file: references cannot be read here")
	case path == "":
		return "", fmt.Errorf("the file: reference names no file")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(d.name), path)
	}
	data, err := d.sources.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the file of the secret cannot be read: %w", err)
	}
	d.remember(path)
	if len(data) > MaxSecret {
		return "", fmt.Errorf("the file %s has more than %d KiB; that is no secret", path, MaxSecret>>10)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
}

func (d *Document) remember(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.files {
		if f == path {
			return
		}
	}
	d.files = append(d.files, path)
}
