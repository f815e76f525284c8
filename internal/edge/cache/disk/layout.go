package disk

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"strconv"

	"straum.dev/straum/internal/edge/cache/object"
)

// A file is, from its beginning: the body; a table with the checksum (CRC-32C) of each block of it; the head in object's form; the footer, which says
// where all that lies and for which key it is. So the body can be written as it comes, sent as it lies, and the head replaced without touching it.
// What was not written to its end has no valid footer.
//
// A file's name is the first half of the key and the number of the writing, so that no file is ever written over: what is replaced goes on serving
// whom it serves.

// version is that of the layout, and the name of the folder that it lies in. What lies in folders of other versions is removed.
const version = "v1"

const (
	blockSize  = 64 << 10 // bytes of body to a checksum
	footerSize = 80
	magic      = "straum01"
	maxHead    = 1 << 20 // bytes; more is not stored
	fileBlock  = 4 << 10 // what a file takes is counted in these
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// id is the first half of a key. That two keys share it does not happen, and would be a miss.
type id [16]byte

func idOf(k object.Key) id { return id(k[:16]) }

// taken is what a file of so many bytes takes.
func taken(size int64) int64 { return (size + fileBlock - 1) &^ (fileBlock - 1) }

// blocks is how many there are in a body.
func blocks(length int64) int64 { return (length + blockSize - 1) / blockSize }

// footer is the end of a file.
type footer struct {
	key      object.Key
	length   int64  // of the body; the table follows it, and the head the table
	headSize uint32 // of the head
	head     uint32 // checksums
	table    uint32
}

// tail is where the head begins.
func (f *footer) tail() int64 { return f.length + 4*blocks(f.length) }

// size is that of the file.
func (f *footer) size() int64 { return f.tail() + int64(f.headSize) + footerSize }

func (f *footer) append(b []byte) []byte {
	from := len(b)
	b = append(b, magic...)
	b = append(b, f.key[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.length))
	b = binary.LittleEndian.AppendUint32(b, f.headSize)
	b = binary.LittleEndian.AppendUint32(b, f.head)
	b = binary.LittleEndian.AppendUint32(b, f.table)
	b = append(b, make([]byte, footerSize-4-(len(b)-from))...)
	return binary.LittleEndian.AppendUint32(b, checksum(b[from:]))
}

// errDamaged is for a file that is not what was written.
var errDamaged = errors.New("disk: the file is damaged, or was not written to its end")

// readFooter reads the last footerSize bytes of a file of so many bytes.
func readFooter(b []byte, size int64) (footer, error) {
	le := binary.LittleEndian
	if len(b) != footerSize || string(b[:8]) != magic || checksum(b[:footerSize-4]) != le.Uint32(b[footerSize-4:]) {
		return footer{}, errDamaged
	}
	f := footer{key: object.Key(b[8:40]), length: int64(le.Uint64(b[40:])), headSize: le.Uint32(b[48:]), head: le.Uint32(b[52:]), table: le.Uint32(b[56:])}
	if f.length < 0 || f.length > size || f.headSize > maxHead || f.size() != size {
		return footer{}, errDamaged
	}
	return f, nil
}

// appendTail appends what follows the body.
func appendTail(b []byte, k object.Key, length int64, table []byte, head *object.Object) []byte {
	b = append(b, table...)
	f := footer{key: k, length: length, table: checksum(table)}
	return f.appendHead(b, head)
}

// appendHead appends what follows the table.
func (f *footer) appendHead(b []byte, head *object.Object) []byte {
	from := len(b)
	b = head.Encode(b)
	f.headSize, f.head = uint32(len(b)-from), checksum(b[from:])
	return f.append(b)
}

// fileName is that of an object's file, below the folder of the version.
func fileName(i id, seq uint64) string {
	b := make([]byte, 0, 64)
	b = hex.AppendEncode(b, i[:1])
	b = append(b, '/')
	b = hex.AppendEncode(b, i[:])
	b = append(b, '-')
	return string(strconv.AppendUint(b, seq, 36))
}

// parseName reads the last part of a file's name.
func parseName(folder, name string) (i id, seq uint64, ok bool) {
	if len(name) < 34 || name[32] != '-' || name[:2] != folder {
		return i, 0, false
	}
	if _, err := hex.Decode(i[:], []byte(name[:32])); err != nil {
		return i, 0, false
	}
	seq, err := strconv.ParseUint(name[33:], 36, 64)
	return i, seq, err == nil && fileName(i, seq)[3:] == name
}

// A file that is being written is called tmp/ and the number of the writing.
const tmpFolder = "tmp"

func tmpName(seq uint64) string { return tmpFolder + "/" + strconv.FormatUint(seq, 36) }

func parseTmp(name string) (seq uint64, ok bool) {
	seq, err := strconv.ParseUint(name, 36, 64)
	return seq, err == nil && strconv.FormatUint(seq, 36) == name
}
