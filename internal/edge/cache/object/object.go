// Package object is what the cache stores (steps 5 and 8): a response with the terms of its use, or the list of variants of a resource. It also says
// how that lies on disk and in Redis: one form, with a version and a checksum.
//
// In reading order: object.go (an object and how it is made), field.go (the fields in it), variant.go (lists of variants), size.go (what it takes),
// encode.go and decode.go (its form outside of memory).
//
// It refuses to decide whether an object may be used, and to keep it anywhere.
package object

import (
	"os"
	"sync/atomic"
	"unsafe"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/exchange"
)

// Key names an object: a hash (SHA-256) of length-prefixed parts, see package cache.
type Key [32]byte

// Object is a stored response, or with Variants a list of variants. It is immutable once it was put into a store, and shared by all exchanges that
// use it, but for Checked and Written. URL, Tags, ETag and Language are views of one slice of bytes that also holds the fields: a million objects are
// few pointers for the garbage collector.
type Object struct {
	Status   int
	Terms    freshness.Terms
	Variants *Variants // not nil: this is no response but says which fields tell responses apart

	URL  string   // scheme://host[:port]/path[?query] in canonical form, for purges
	Tags []string // surrogate keys, for purges

	ETag     string // of the first field
	Language string // Content-Language; empty when there are several

	// Length is the body's length. The body is in Body, or in a file.
	Length int64
	Body   []byte
	File   File

	// Written is where a store of files has exactly this object already, in a form of its own; 0 for nowhere.
	Written atomic.Uint64
	// Checked is the number of the last purge rule that this object was compared with.
	Checked atomic.Uint64

	head  []byte // the fields, in the form of AppendFields
	named bool   // a name in head that has no code is known: it has become so since it was stored, or is none of a response
	text  int    // bytes of memory that head and the strings are views of
}

// File is a body that lies in a file. It is held open by whoever got the object from a store, until Release.
type File interface {
	// Open gives the file and where the body begins in it. verified says that its checksum was compared before, in this process: the kernel may send
	// it without anybody looking.
	Open() (f *os.File, offset int64, verified bool)
	// ReadAt reads a run of the body at an offset of the body into b and compares checksums: an error is for a body that is not what was written, or a
	// disk that does not answer in time.
	ReadAt(b []byte, offset int64) (int, error)
	// Release gives it back.
	Release()
}

// MaxTags is how many surrogate keys an object may have. One with more can be kept in memory and is refused by Decode.
const MaxTags = 1024

// New makes an object of a response. All but the body is copied. Fields of the connection (exchange.Known.HopByHop) are left out: they are never a
// part of what is stored.
func New(status int, terms freshness.Terms, fields *exchange.Fields, url string, tags []string, body []byte) *Object {
	o := &Object{Status: status, Terms: terms, Length: int64(len(body)), Body: body}
	o.fill(fields, url, tags)
	return o
}

// With makes an object with other fields and terms, and the same body. A File is the same too: it is still to be released once, by whoever held it
// before.
func (o *Object) With(terms freshness.Terms, fields *exchange.Fields) *Object {
	n := &Object{Status: o.Status, Terms: terms, Length: o.Length, Body: o.Body, File: o.File}
	n.fill(fields, o.URL, o.Tags)
	return n
}

// WithBody makes an object with another body, which is not copied, and the same of everything else. It has no File.
func (o *Object) WithBody(body []byte) *Object {
	n := &Object{
		Status: o.Status, Terms: o.Terms, Variants: o.Variants, URL: o.URL, Tags: o.Tags, ETag: o.ETag, Language: o.Language,
		Length: int64(len(body)), Body: body, head: o.head, named: o.named, text: o.text,
	}
	n.Checked.Store(o.Checked.Load())
	return n
}

// fill copies the fields and texts into one slice of bytes, in this order.
func (o *Object) fill(fields *exchange.Fields, url string, tags []string) {
	size := sizeFields(fields) + len(url)
	for _, tag := range tags {
		size += len(tag)
	}
	b := appendFields(make([]byte, 0, size), fields)
	o.head, o.text = b[:len(b):len(b)], size
	b = append(b, url...)
	o.URL = view(b[len(o.head):])
	if len(tags) > 0 {
		o.Tags = make([]string, len(tags))
	}
	for i, tag := range tags {
		from := len(b)
		b = append(b, tag...)
		o.Tags[i] = view(b[from:])
	}
	o.facts()
}

// view gives bytes that never change as a string.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Store keeps objects. All methods may be called from any goroutine.
type Store interface {
	// Get returns nil when there is none, or when it cannot be had in the time the store has.
	Get(k Key) *Object
	// Put keeps an object if there is room for it, now or soon; what was under the key is gone. It does not wait for a disk or the network.
	Put(k Key, o *Object)
	// Delete removes an object. It does not wait for a disk or the network.
	Delete(k Key)
}
