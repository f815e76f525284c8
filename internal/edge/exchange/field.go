package exchange

import "strings"

// Field is one header or trailer field. Its strings are views of the buffer the message was read into, or of text that whoever
// set the field owns; see the package comment for how long they live.
type Field struct {
	Name  string // case as received, or canonical when set here
	Value string // without surrounding white space
	Known Known  // what the name is, when it is one the gateway knows
}

// Fields is an ordered list of fields. The zero value is an empty list. Order and case of names are kept as received.
type Fields struct {
	list []Field
}

// Len is the number of fields.
func (f *Fields) Len() int { return len(f.list) }

// All is the list itself, in order. It is valid until the next change of the list; the caller must not keep it.
func (f *Fields) All() []Field { return f.list }

// Reset empties the list and keeps its room. Old views are cleared so that they do not pin buffers.
func (f *Fields) Reset() {
	clear(f.list)
	f.list = f.list[:0]
}

// Append adds a field at the end without looking for others of the same name.
func (f *Fields) Append(known Known, name, value string) {
	f.list = append(f.list, Field{Name: name, Value: value, Known: known})
}

// Add adds a field by name at the end.
func (f *Fields) Add(name, value string) { f.Append(Lookup(name), name, value) }

// Get returns the value of the first field of a known name.
func (f *Fields) Get(known Known) (string, bool) {
	for i := range f.list {
		if f.list[i].Known == known {
			return f.list[i].Value, true
		}
	}
	return "", false
}

// Cookie returns the value of the first cookie of a name (RFC 6265 §5.4), empty when there is none.
func (f *Fields) Cookie(name string) string {
	for i := range f.list {
		if f.list[i].Known != Cookie {
			continue
		}
		for rest := f.list[i].Value; rest != ""; {
			var pair string
			pair, rest, _ = strings.Cut(rest, ";")
			if n, v, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && n == name {
				return v
			}
		}
	}
	return ""
}

// Header returns the value of the first field called name, in any case.
func (f *Fields) Header(name string) (string, bool) {
	if known := Lookup(name); known != Other {
		return f.Get(known)
	}
	for i := range f.list {
		if f.list[i].Known == Other && strings.EqualFold(f.list[i].Name, name) {
			return f.list[i].Value, true
		}
	}
	return "", false
}

// Count is how many fields of a known name there are.
func (f *Fields) Count(known Known) int {
	n := 0
	for i := range f.list {
		if f.list[i].Known == known {
			n++
		}
	}
	return n
}

// Set gives a known name exactly one value: the first field of that name is overwritten where it stands, others are removed;
// without one the field is appended under its canonical name.
func (f *Fields) Set(known Known, value string) {
	for i := range f.list {
		if f.list[i].Known == known {
			f.list[i].Name, f.list[i].Value = known.String(), value
			f.removeFrom(i+1, known, "")
			return
		}
	}
	f.Append(known, known.String(), value)
}

// SetHeader is Set for any name, in any case; the name is written as given.
func (f *Fields) SetHeader(name, value string) {
	known := Lookup(name)
	for i := range f.list {
		if f.list[i].is(known, name) {
			f.list[i].Name, f.list[i].Value = name, value
			f.removeFrom(i+1, known, name)
			return
		}
	}
	f.Append(known, name, value)
}

// Del removes every field of a known name.
func (f *Fields) Del(known Known) { f.removeFrom(0, known, "") }

// DelHeader removes every field called name, in any case.
func (f *Fields) DelHeader(name string) { f.removeFrom(0, Lookup(name), name) }

func (f *Fields) removeFrom(start int, known Known, name string) {
	f.drop(start, func(field *Field) bool { return field.is(known, name) })
}

// drop removes the fields from start on that are gone, and keeps the order of the rest.
func (f *Fields) drop(start int, gone func(*Field) bool) {
	kept := start
	for i := start; i < len(f.list); i++ {
		if gone(&f.list[i]) {
			continue
		}
		if kept != i {
			f.list[kept] = f.list[i]
		}
		kept++
	}
	clear(f.list[kept:])
	f.list = f.list[:kept]
}

func (f *Field) is(known Known, name string) bool {
	return f.Known == known && (known != Other || strings.EqualFold(f.Name, name))
}

// DropOurs removes the fields that only the gateway may set. Hardly any request has one, so looking comes first.
func (f *Fields) DropOurs() {
	for i := range f.list {
		if f.list[i].Known.Ours() {
			f.drop(i, func(field *Field) bool { return field.Known.Ours() })
			return
		}
	}
}
