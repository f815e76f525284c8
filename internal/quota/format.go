package quota

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A file of counts is its magic and then blocks. A block is the length of its records in bytes, a checksum over the length and them, and
// the records; each is an ID and, for day and month, when the period began and how much of it is used. All numbers are little-endian. A
// record says all there is to say of its ID, so the last one counts.
const (
	magic      = "straum quota 1\r\n"
	blockHead  = 8
	recordSize = 16 + 16*Periods
	maxFile    = 1 << 30 // bytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errForeign = errors.New("it is no file of counts of this version")
	errTorn    = errors.New("its end is not whole")
)

// append writes the record behind b.
func (r *record) append(b []byte) []byte {
	b = append(b, r.id[:]...)
	for p := range r.start {
		b = binary.LittleEndian.AppendUint64(b, uint64(r.start[p]))
		b = binary.LittleEndian.AppendUint64(b, uint64(r.used[p]))
	}
	return b
}

func (r *record) read(b []byte) {
	copy(r.id[:], b)
	for p := range r.start {
		r.start[p] = int64(binary.LittleEndian.Uint64(b[16+16*p:]))
		r.used[p] = int64(binary.LittleEndian.Uint64(b[24+16*p:]))
	}
}

// beginBlock makes room for the head of a block, whose records are appended next; endBlock fills it in. from is where it began.
func beginBlock(b []byte) (out []byte, from int) {
	return append(b, make([]byte, blockHead)...), len(b)
}

func endBlock(b []byte, from int) []byte {
	head, records := b[from:from+blockHead], b[from+blockHead:]
	binary.LittleEndian.PutUint32(head, uint32(len(records)))
	binary.LittleEndian.PutUint32(head[4:], sum(head[:4], records))
	return b
}

func sum(length, records []byte) uint32 {
	return crc32.Update(crc32.Checksum(length, castagnoli), castagnoli, records)
}

// parse reads a file. What is whole before something that is not, it gives with errTorn, which says how much is left over.
func parse(file io.Reader, size int64) (map[ID]record, error) {
	if size > maxFile {
		return nil, fmt.Errorf("%w: it has %d bytes, and %d are allowed", errForeign, size, maxFile)
	}
	begin := make([]byte, len(magic))
	if _, err := io.ReadFull(file, begin); err != nil || string(begin) != magic {
		return nil, errForeign
	}
	records, left := map[ID]record{}, size-int64(len(magic))
	var head [blockHead]byte
	var block []byte
	for left > 0 {
		torn := fmt.Errorf("%w: %d bytes of %d cannot be read", errTorn, left, size)
		if _, err := io.ReadFull(file, head[:]); err != nil {
			return records, torn
		}
		n := int64(binary.LittleEndian.Uint32(head[:]))
		if n > left-blockHead || n%int64(recordSize) != 0 {
			return records, torn
		}
		if int64(cap(block)) < n {
			block = make([]byte, n)
		}
		block = block[:n]
		if _, err := io.ReadFull(file, block); err != nil || sum(head[:4], block) != binary.LittleEndian.Uint32(head[4:]) {
			return records, torn
		}
		left -= blockHead + n
		for ; len(block) > 0; block = block[recordSize:] {
			var r record
			if r.read(block); r.sound() {
				records[r.id] = r
			}
		}
		block = block[:0:0]
	}
	return records, nil
}

// sound says whether the numbers can be ours.
func (r *record) sound() bool {
	for p := range r.used {
		if r.used[p] < 0 || r.used[p] > maxUsed || r.start[p] < 0 || r.start[p] > maxTime {
			return false
		}
	}
	return true
}

const (
	maxUsed = 1 << 53 // the shared store counts no further
	maxTime = 1 << 40 // the year 36812
)
