// Package document reads what an operator wrote: one strict YAML document a file, decoded into Go structs by
// tags, with every mistake found in one go and each pointing at file, line and column.
//
// It serves no step of a request; config reads the configuration with it, policies decode their own options
// with it, and the JSON Schema and the reference in the docs come from the same tags, so that none can drift.
//
// # The way of a document
//
// Parse turns bytes into a Document: it checks the bytes (UTF-8, no control characters, MaxBytes), lets the
// YAML library compose the nodes, and copies them into a compact tree while checking what needs no types:
// depth, aliases, tags, merge keys, duplicate keys. Node.Decode then fills a struct, and Node.Errorf lets
// checks made later, by others, point at the same places.
//
// # Struct tags
//
//	yaml:"name"         the key; options after a comma:
//	    ,inline         an embedded struct's keys stand among ours
//	    ,one            a list that may also be written as its single item
//	    ,keyed          a slice of structs written as a mapping; the item's ",key" field gets the key
//	    ,multiline      a string that may hold line breaks and tabs
//	    ,short          a struct may be written as one scalar, which goes to this field
//	    yaml:"-,short"  the same, but the field has no key of its own
//	    yaml:",key"     gets the key this struct stands under
//	    yaml:",value"   a Node: with ",key" and outside ",keyed", the struct is written {key: value}
//	    yaml:",self"    a Node: gets the node the struct was decoded from
//	    yaml:",off"     a bool: the struct may be written as the word off, which sets it
//	doc:"..."           one or two sentences for the reference and the schema
//	default:"..."       the value when the key is absent; lists are separated by commas
//	required:"true"     the key must be there
//	enum:"a,b,c"        the words allowed
//	range:"1..10"       bounds, in the field's own unit; either end may be left out; "0|1s..1h" allows 0 as well
//	length:"1..64"      how long a string (bytes) or how many items a list or mapping may have
//	pattern:"^[a-z]+$"  a regular expression a string, or the keys of a keyed list, must match
//	form:"a, b or c"    what the pattern means in words, for problems and the reference
//	_ struct{} `oneof:"a,b"`    exactly one of these keys must be there when the struct is written as a mapping
//	_ struct{} `atmost:"a,b"`   at most one of these keys may be there
//
// A struct field that is no pointer is filled with its defaults when the key is absent; a pointer stays nil.
// A key without a value is an error: nobody should wonder whether "health:" means on or off.
//
// What it refuses to do: merge keys, custom tags, several documents in a file, numbers in anything but
// decimal, guessing units, and anything that knows the meaning of a key.
package document
