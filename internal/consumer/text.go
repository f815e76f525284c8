package consumer

import (
	"errors"
	"unsafe"
)

const (
	textBits  = 16   // a chunk of texts has this many bytes, as a power of two
	firstText = 4096 // bytes of the first one, since most directories are small
)

// texts keeps short texts one after the other. They never move, so that strings may point into them.
type texts struct{ chunks [][]byte }

var errFull = errors.New("there are more consumers and credentials than one directory can hold; give some of them to another gateway")

// add keeps a text of at most 255 bytes and gives its place.
func (t *texts) add(text string) (uint32, error) {
	last := len(t.chunks) - 1
	if last < 0 || len(t.chunks[last])+len(text) > cap(t.chunks[last]) {
		if last == 1<<(32-textBits)-1 {
			return 0, errFull
		}
		room := 1 << textBits
		if last < 0 {
			room = firstText
		}
		t.chunks = append(t.chunks, make([]byte, 0, room))
		last++
	}
	at := len(t.chunks[last])
	t.chunks[last] = append(t.chunks[last], text...)
	return uint32(last<<textBits | at), nil
}

// at gives the text of a place. It is a view of memory that does not change any more.
func (t *texts) at(place, length uint32) string {
	at := place & (1<<textBits - 1)
	return view(t.chunks[place>>textBits][at : at+length])
}

// view is the text of bytes that nobody changes while it is in use.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
