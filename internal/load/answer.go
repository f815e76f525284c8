package load

import (
	"bytes"
	"errors"
	"math"
)

// mostHead bounds the head of an answer, its trailers, and a chunk's first line.
const mostHead = 64 << 10

// answer reads one answer of HTTP/1.1 after another from pieces as they come (RFC 9112). Bodies are counted off and never copied.
//
// It is as strict as a reader must be that cannot ask back: what another reader could take for something else is no answer.
type answer struct {
	state    int
	bodyless bool // to HEAD
	head     parsed
	left     uint64 // of a body or chunk
	part     []byte // of a head or line that is not there as a whole
	trailer  int    // bytes of trailers so far
	known    *known
}

// States of an answer.
const (
	inHead = iota
	inBody
	inChunkSize
	inChunk
	inChunkEnd
	inTrailer
	inRest // up to the end of the connection
)

// parsed is what of a head matters here.
type parsed struct {
	status  int
	length  uint64
	chunked bool
	sized   bool // has Content-Length
	coded   bool // has Transfer-Encoding
	closes  bool // the connection is not used again
}

// known is the head that was seen last: an endpoint's answers to one request mostly have the same head for a second, until Date changes.
// Connections of one loop share it.
type known struct {
	text []byte
	head parsed
}

// begin expects an answer.
func (a *answer) begin(bodyless bool) {
	a.state, a.bodyless, a.part, a.trailer = inHead, bodyless, a.part[:0], 0
}

var (
	errHead  = errors.New("the head of the answer is no HTTP/1.1")
	errLong  = errors.New("the head of the answer is too long")
	errChunk = errors.New("the body of the answer is not well chunked")
)

var (
	endOfHead = []byte("\r\n\r\n")
	endOfLine = []byte("\r\n")
)

// feed takes what has come. Once the answer is whole, done is true and rest is what came after it.
func (a *answer) feed(b []byte) (rest []byte, done bool, err error) {
	for {
		switch a.state {
		case inHead:
			if b, err = a.readHead(b); err != nil || a.state == inHead && len(b) == 0 {
				return nil, false, err
			}
			if a.state == inHead {
				continue // behind an interim answer
			}
			if a.state == inBody && a.left == 0 {
				return b, true, nil
			}
		case inBody:
			if uint64(len(b)) >= a.left {
				return b[a.left:], true, nil
			}
			a.left -= uint64(len(b))
			return nil, false, nil
		case inChunkSize, inTrailer:
			var line []byte
			var whole bool
			if line, b, whole, err = a.readLine(b); err != nil || !whole {
				return nil, false, err
			}
			if a.state == inTrailer {
				if len(line) == 0 {
					return b, true, nil
				}
				if a.trailer += len(line); a.trailer > mostHead || !isField(line) {
					return nil, false, errChunk
				}
				a.part = a.part[:0]
				continue
			}
			if a.left, err = chunkSize(line); err != nil {
				return nil, false, err
			}
			a.part = a.part[:0]
			if a.state = inChunk; a.left == 0 {
				a.state = inTrailer
			}
		case inChunk:
			if uint64(len(b)) < a.left {
				a.left -= uint64(len(b))
				return nil, false, nil
			}
			b, a.left, a.state = b[a.left:], 2, inChunkEnd
		case inChunkEnd:
			for ; a.left > 0; a.left-- {
				if len(b) == 0 {
					return nil, false, nil
				}
				if b[0] != "\n\r"[a.left-1] {
					return nil, false, errChunk
				}
				b = b[1:]
			}
			a.state = inChunkSize
		default: // inRest
			return nil, false, nil
		}
		if len(b) == 0 {
			return nil, false, nil
		}
	}
}

// ended tells whether the answer is whole when the connection has ended.
func (a *answer) ended() bool { return a.state == inRest }

// readHead takes a head, or what is there of one, and says by a.state what follows. It returns what is behind the head.
func (a *answer) readHead(b []byte) ([]byte, error) {
	if k := a.known; len(a.part) == 0 && len(k.text) > 0 && len(b) >= len(k.text) && bytes.Equal(b[:len(k.text)], k.text) {
		a.head = k.head
		a.follow()
		return b[len(k.text):], nil
	}
	if len(a.part) > 0 { // the end may lie across the seam
		before := len(a.part)
		a.part = append(a.part, b[:min(len(b), mostHead+4-min(before, mostHead))]...)
		end := bytes.Index(a.part[max(0, before-3):], endOfHead)
		if end < 0 {
			return a.wait(a.part)
		}
		if end += max(0, before-3) + 4; end > mostHead {
			return nil, errLong
		}
		var err error
		a.head, err = parseHead(a.part[:end])
		a.part = a.part[:0]
		if err == nil {
			a.follow()
		}
		return b[end-before:], err
	}
	end := bytes.Index(b, endOfHead)
	if end < 0 {
		a.part = append(a.part, b[:min(len(b), mostHead)]...)
		return a.wait(a.part)
	}
	if end += 4; end > mostHead {
		return nil, errLong
	}
	var err error
	if a.head, err = parseHead(b[:end]); err != nil {
		return nil, err
	}
	if k := a.known; a.head.status >= 200 {
		k.text, k.head = append(k.text[:0], b[:end]...), a.head
	}
	a.follow()
	return b[end:], nil
}

// wait judges a head that is not there as a whole: what cannot become one is refused at once, and not at the end of a timeout.
func (a *answer) wait(part []byte) ([]byte, error) {
	if len(part) >= mostHead {
		return nil, errLong
	}
	const begins = "HTTP/1."
	if n := min(len(part), len(begins)); string(part[:n]) != begins[:n] {
		return nil, errHead
	}
	return nil, nil
}

// follow says what comes behind the head (RFC 9112 §6.3).
func (a *answer) follow() {
	switch h := &a.head; {
	case h.status < 200:
		a.state = inHead
	case a.bodyless || h.status == 204 || h.status == 304:
		a.state, a.left = inBody, 0
	case h.chunked:
		a.state = inChunkSize
	case h.sized:
		a.state, a.left = inBody, h.length
	default:
		a.state, h.closes = inRest, true
	}
}

// readLine takes a line without its end. The line is good until part is used again.
func (a *answer) readLine(b []byte) (line, rest []byte, whole bool, err error) {
	if len(a.part) == 0 {
		if line, rest, whole = bytes.Cut(b, endOfLine); whole && len(line) <= mostHead {
			return line, rest, true, nil
		}
	}
	before := len(a.part)
	a.part = append(a.part, b[:min(len(b), mostHead+2-min(before, mostHead))]...)
	from := max(0, before-1)
	end := bytes.Index(a.part[from:], endOfLine)
	switch end += from; {
	case end > mostHead || end < from && len(a.part) > mostHead:
		return nil, nil, false, errChunk
	case end < from:
		return nil, nil, false, nil
	}
	return a.part[:end], b[end+2-before:], true, nil
}

// parseHead reads a whole head.
func parseHead(b []byte) (h parsed, err error) {
	// HTTP/1.1 200 OK
	line, b, _ := bytes.Cut(b, endOfLine)
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return h, errHead
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return h, errHead
		}
		h.status = 10*h.status + int(c-'0')
	}
	if h.status < 100 || h.status == 101 || h.status > 599 || !printable(line) { // nobody asked for another protocol
		return h, errHead
	}
	h.closes = line[7] == '0'
	for {
		line, b, _ = bytes.Cut(b, endOfLine)
		if len(line) == 0 {
			break
		}
		if err := h.field(line); err != nil {
			return h, err
		}
	}
	if h.coded && h.sized {
		return h, errHead // two lengths
	}
	return h, nil
}

// field takes a field line.
func (h *parsed) field(line []byte) error {
	if !isField(line) {
		return errHead
	}
	colon := bytes.IndexByte(line, ':')
	name, value := line[:colon], bytes.Trim(line[colon+1:], " \t")
	switch len(name) {
	case len("Connection"):
		if isName(name, "connection") {
			for token := range bytes.SplitSeq(value, []byte(",")) {
				switch token = bytes.Trim(token, " \t"); {
				case isName(token, "close"):
					h.closes = true
				case isName(token, "keep-alive"):
					h.closes = false
				}
			}
		}
	case len("Content-Length"):
		if isName(name, "content-length") {
			n, ok := decimal(value)
			if !ok || h.sized && n != h.length {
				return errHead
			}
			h.length, h.sized = n, true
		}
	case len("Transfer-Encoding"):
		if isName(name, "transfer-encoding") {
			if h.chunked {
				return errHead // chunked has to be the last
			}
			last := value[bytes.LastIndexByte(value, ',')+1:]
			h.coded, h.chunked = true, isName(bytes.Trim(last, " \t"), "chunked")
		}
	}
	return nil
}

// isField tells whether a line is a name, a colon and text. A line that goes on with the one before has no name.
func isField(line []byte) bool {
	for i, c := range line {
		if c == ':' {
			return i > 0 && printable(line[i:])
		}
		if !isToken[c] {
			return false
		}
	}
	return false
}

// isToken are the characters of a token (RFC 9110 §5.6.2).
var isToken = func() (is [256]bool) {
	for c := range is {
		is[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c < 128 && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0
	}
	return is
}()

// printable tells whether text has no control characters but tabs.
func printable(text []byte) bool {
	for _, c := range text {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// isName compares in any case with a name in small letters.
func isName(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != name[i] {
			return false
		}
	}
	return true
}

// decimal is a number of digits alone, below 2^63.
func decimal(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' || n > (math.MaxInt64-9)/10 {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return n, len(b) > 0
}

// chunkSize is the number that a chunk begins with; extensions are passed over (RFC 9112 §7.1).
func chunkSize(line []byte) (n uint64, err error) {
	digits := 0
	for _, c := range line {
		var digit byte
		switch {
		case c >= '0' && c <= '9':
			digit = c - '0'
		case c >= 'a' && c <= 'f':
			digit = c - 'a' + 10
		case c >= 'A' && c <= 'F':
			digit = c - 'A' + 10
		default:
			if digits == 0 || c != ';' && c != ' ' && c != '\t' || !printable(line) {
				return 0, errChunk
			}
			return n, nil
		}
		if digits++; digits > 15 {
			return 0, errChunk
		}
		n = n<<4 | uint64(digit)
	}
	if digits == 0 {
		return 0, errChunk
	}
	return n, nil
}
