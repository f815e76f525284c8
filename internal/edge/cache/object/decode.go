package object

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
)

// What Decode finds wrong. Whoever keeps encoded objects drops the one it is about.
var (
	ErrVersion = errors.New("not an object of this version")
	ErrShort   = errors.New("an object that breaks off")
	ErrSum     = errors.New("an object whose checksum differs")
	ErrForm    = errors.New("an object that is not as objects are written")
)

// Decode reads what Encode wrote; the object refers to b, which must not change any more. rest is what follows it. It reads nothing else: whatever it
// accepts, Encode gives back byte by byte, and has fields that may stand in a response. Length is that of the body which belongs to the object, and
// for the caller to compare; Body and File are nil. It allocates no more than a few times what b has, and never after a wrong checksum.
func Decode(b []byte) (o *Object, rest []byte, err error) {
	if len(b) < atWhat {
		if len(b) >= atSum && !ours(b) {
			return nil, nil, ErrVersion
		}
		return nil, nil, ErrShort
	}
	if !ours(b) {
		return nil, nil, ErrVersion
	}
	size := binary.LittleEndian.Uint32(b[atSize:])
	if size > maxSize {
		return nil, nil, ErrForm
	}
	end := atWhat + int(size)
	if end > len(b) {
		return nil, nil, ErrShort
	}
	if crc32.Checksum(b[atSize:end], castagnoli) != binary.LittleEndian.Uint32(b[atSum:]) {
		return nil, nil, ErrSum
	}
	r := reader{b: b[atWhat:end:end]}
	o = &Object{text: end}
	r.object(o)
	if r.failed || len(r.b) > 0 {
		return nil, nil, ErrForm
	}
	return o, b[end:], nil
}

func ours(b []byte) bool { return string(b[:len(mark)]) == mark && b[len(mark)] == version }

// reader takes an object apart. Once it has failed it gives nothing any more.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) object(o *Object) {
	what := r.byte()
	r.terms(&o.Terms)
	o.Status = int(r.uint16())
	o.Length = int64(r.uint64())
	o.URL = r.text()
	r.check(o.Length >= 0 && grammar.IsTrimmedValue(o.URL))
	switch what {
	case aResponse:
		r.check(o.Status >= 200 && o.Status <= 999)
		o.Tags = r.tags()
		o.head = r.fields()
		if !r.failed {
			o.facts()
		}
	case aList:
		r.check(o.Status == 0 && o.Length == 0)
		o.Variants = r.variants()
	default:
		r.failed = true
	}
}

func (r *reader) terms(t *freshness.Terms) {
	for _, n := range [...]*int64{
		&t.RequestTime, &t.ResponseTime, &t.Date, &t.LastModified, &t.InitialAge, &t.Lifetime, &t.WhileRevalidating, &t.IfError,
	} {
		*n = int64(r.uint64())
	}
	t.Flags = freshness.Flags(r.uint16())
}

func (r *reader) tags() []string {
	n := r.uvarint()
	r.check(n <= MaxTags && n <= uint64(len(r.b)/2)) // a tag has a length and at least one byte
	if r.failed || n == 0 {
		return nil
	}
	tags := make([]string, n)
	for i := range tags {
		tags[i] = r.text()
		r.check(tags[i] != "" && grammar.IsTrimmedValue(tags[i]))
	}
	return tags
}

// fields are checked as those of a message from the network are: whoever can write to a disk or to Redis gets nothing into a response that
// could be taken for its end, or for the framing of its body.
func (r *reader) fields() []byte {
	head := r.bytes(r.uvarint())
	for f := (reader{b: head}); len(f.b) > 0; {
		code := f.byte()
		switch {
		case int(code) >= len(codes):
			f.failed = true
		case code == 0:
			name := f.text()
			f.check(grammar.IsToken(name) && !exchange.Lookup(name).HopByHop())
		}
		f.check(grammar.IsTrimmedValue(f.text()))
		if f.failed {
			r.failed = true
			return nil
		}
	}
	return head
}

func (r *reader) variants() *Variants {
	v := &Variants{Nonce: r.uint64()}
	n := r.byte()
	r.check(n <= MaxSets)
	if r.failed {
		return nil
	}
	v.Sets = make([]Set, n)
	left := MaxKeys
	for i := range v.Sets {
		s := &v.Sets[i]
		n := r.byte()
		r.check(n > 0 && n <= freshness.MaxVary)
		if r.failed {
			return nil
		}
		s.Names = make([]string, n)
		for j := range s.Names {
			s.Names[j] = r.text()
			r.check(grammar.IsLowerToken(s.Names[j]) && (j == 0 || s.Names[j-1] < s.Names[j]))
		}
		s.Language = r.text()
		r.check(grammar.IsTrimmedValue(s.Language))
		keys := r.uint16()
		r.check(int(keys) <= left)
		left -= int(keys)
		from := r.bytes(uint64(keys) * uint64(len(Key{})))
		if r.failed {
			return nil
		}
		if keys > 0 {
			s.Keys = make([]Key, keys)
		}
		for j := range s.Keys {
			from = from[copy(s.Keys[j][:], from):]
		}
	}
	return v
}

func (r *reader) check(ok bool) {
	if !ok {
		r.failed = true
	}
}

func (r *reader) bytes(n uint64) []byte {
	if r.failed || n > uint64(len(r.b)) {
		r.failed = true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) text() string { return view(r.bytes(r.uvarint())) }

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// uvarint reads a number in as few bytes as it takes, and in no others.
func (r *reader) uvarint() uint64 {
	n, w := binary.Uvarint(r.b)
	if r.failed || w <= 0 || w > 1 && r.b[w-1] == 0 {
		r.failed = true
		return 0
	}
	r.b = r.b[w:]
	return n
}
