package object

import (
	"encoding/binary"
	"hash/crc32"
	"slices"

	"straum.dev/straum/internal/edge/cache/freshness"
)

// An encoded object is the mark with the version, the checksum of all that follows it, how many bytes there are after that number, and those: what it
// is, the terms, the status, the body's length, the URL; then a response's tags and fields, or a list's nonce and sets. Numbers of a fixed size have
// their low byte first, others are varints; texts have their length before them.
const (
	mark    = "sto" // of what is ours
	version = 1     // of the form; another one is not read

	atSum   = len(mark) + 1
	atSize  = atSum + 4
	atWhat  = atSize + 4 // where the bytes begin that the size counts
	maxSize = 1 << 20    // of those
)

// What an encoded object is.
const (
	aResponse = 1
	aList     = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode appends the object without its body, in the form for disk and Redis. Decode reads it; what is not of this version, or damaged, is an error.
func (o *Object) Encode(b []byte) []byte {
	from := len(b)
	b = slices.Grow(b, 256+len(o.URL)+len(o.head))
	b = append(append(b, mark...), version)
	b = append(b, make([]byte, atWhat-atSum)...)
	if o.Variants != nil {
		b = append(b, aList)
	} else {
		b = append(b, aResponse)
	}
	b = appendTerms(b, &o.Terms)
	b = binary.LittleEndian.AppendUint16(b, uint16(o.Status))
	b = binary.LittleEndian.AppendUint64(b, uint64(o.Length))
	b = appendText(b, o.URL)
	if o.Variants != nil {
		b = appendVariants(b, o.Variants)
	} else {
		b = binary.AppendUvarint(b, uint64(len(o.Tags)))
		for _, tag := range o.Tags {
			b = appendText(b, tag)
		}
		b = appendText(b, o.head)
	}
	e := b[from:]
	binary.LittleEndian.PutUint32(e[atSize:], uint32(len(e)-atWhat))
	binary.LittleEndian.PutUint32(e[atSum:], crc32.Checksum(e[atSize:], castagnoli))
	return b
}

func appendTerms(b []byte, t *freshness.Terms) []byte {
	for _, n := range [...]int64{
		t.RequestTime, t.ResponseTime, t.Date, t.LastModified, t.InitialAge, t.Lifetime, t.WhileRevalidating, t.IfError,
	} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	return binary.LittleEndian.AppendUint16(b, uint16(t.Flags))
}

func appendVariants(b []byte, v *Variants) []byte {
	b = binary.LittleEndian.AppendUint64(b, v.Nonce)
	b = append(b, byte(len(v.Sets)))
	for i := range v.Sets {
		s := &v.Sets[i]
		b = append(b, byte(len(s.Names)))
		for _, name := range s.Names {
			b = appendText(b, name)
		}
		b = appendText(b, s.Language)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(s.Keys)))
		for j := range s.Keys {
			b = append(b, s.Keys[j][:]...)
		}
	}
	return b
}
