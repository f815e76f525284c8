package jsonedit

import (
	"bytes"
	"hash/maphash"
	"sync"
	"unicode/utf8"
)

// Check judges a text: strictly what RFC 8259 calls JSON, in UTF-8, without a byte order mark, within the limits. The error is a *SyntaxError.
func Check(text []byte, l *Limits) error {
	s := scanners.Get().(*scanner)
	s.begin(text, l)
	s.space()
	s.value(0)
	s.space()
	if s.wrong == "" && s.at < len(text) {
		s.fail(s.at, "something stands behind the value")
	}
	var err error
	if s.wrong != "" {
		err = s.error()
	}
	s.end()
	return err
}

// scanner judges one text.
type scanner struct {
	text   []byte
	limits *Limits
	at     int
	count  int
	wrong  string // what is wrong, at where
	where  int

	names   []span            // of the objects that are open, one behind the other
	seen    map[nameKey]int32 // of objects with many names: where in names one stands
	object  uint32            // numbers the objects with many names
	scratch [2][]byte         // for names with escapes
	seed    maphash.Seed
}

// span is a string in the text, without its quotation marks.
type span struct {
	from, to int32
	escaped  bool
}

// nameKey is a name of an object. Names with the same hash are compared; that two different ones have the same is not worth a list, since who
// writes the text does not know the seed.
type nameKey struct {
	object uint32
	hash   uint64
}

var scanners = sync.Pool{New: func() any { return &scanner{seed: maphash.MakeSeed()} }}

// fewNames is up to how many names each new one is compared with all before it.
const fewNames = 16

// maxKept is how many names a scanner keeps room for between two texts.
const maxKept = 4096

func (s *scanner) begin(text []byte, l *Limits) {
	s.text, s.limits, s.at, s.count, s.wrong, s.object = text, l, 0, 0, "", 0
	s.names = s.names[:0]
}

func (s *scanner) end() {
	s.text, s.limits = nil, nil
	if len(s.seen) > maxKept {
		s.seen = nil
	}
	clear(s.seen)
	if cap(s.names) > maxKept {
		s.names = nil
	}
	scanners.Put(s)
}

// fail notes what is wrong. Only the first counts; all the rest of the text is skipped then.
func (s *scanner) fail(where int, wrong string) {
	if s.wrong == "" {
		s.wrong, s.where = wrong, where
		s.at = len(s.text)
	}
}

func (s *scanner) error() *SyntaxError {
	before := s.text[:min(s.where, len(s.text))]
	line := bytes.LastIndexByte(before, '\n')
	return &SyntaxError{Offset: s.where, Line: bytes.Count(before, []byte{'\n'}) + 1, Column: len(before) - line, Text: s.wrong}
}

// peek is the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) space() { s.at = skipSpace(s.text, s.at) }

func (s *scanner) value(depth int) {
	if s.count++; s.limits.Values > 0 && s.count > s.limits.Values {
		s.fail(s.at, "there are more values than allowed")
		return
	}
	switch c := s.peek(); {
	case c == '{' || c == '[':
		if depth >= s.limits.Depth {
			s.fail(s.at, "arrays and objects are nested deeper than allowed")
			return
		}
		if s.at++; c == '{' {
			s.members(depth)
		} else {
			s.elements(depth)
		}
	case c == '"':
		s.string()
	case c == '-' || c >= '0' && c <= '9':
		s.number()
	case c == 't':
		s.word("true")
	case c == 'f':
		s.word("false")
	case c == 'n':
		s.word("null")
	case s.at >= len(s.text):
		s.fail(len(s.text), "the text ends where a value is expected")
	case s.at == 0 && c == 0xEF:
		s.fail(0, "a byte order mark stands before the value")
	default:
		s.fail(s.at, "a value is expected")
	}
}

func (s *scanner) word(word string) {
	if end := s.at + len(word); end > len(s.text) || string(s.text[s.at:end]) != word {
		s.fail(s.at, "a value is expected")
		return
	}
	s.at += len(word)
}

// elements reads an array behind its bracket.
func (s *scanner) elements(depth int) {
	s.space()
	if s.peek() == ']' {
		s.at++
		return
	}
	for {
		s.space()
		s.value(depth + 1)
		s.space()
		switch s.peek() {
		case ',':
			s.at++
		case ']':
			s.at++
			return
		default:
			s.fail(s.at, "a comma or the end of the array is expected")
			return
		}
	}
}

// members reads an object behind its brace.
func (s *scanner) members(depth int) {
	s.space()
	if s.peek() == '}' {
		s.at++
		return
	}
	first, object := len(s.names), uint32(0)
	for {
		s.space()
		if s.peek() != '"' {
			s.fail(s.at, "the name of a member is expected, in quotation marks")
			return
		}
		if name := s.string(); !s.limits.Twice && s.wrong == "" {
			s.names = append(s.names, name)
			if s.twice(first, &object) {
				s.fail(int(name.from)-1, "the name of this member stands twice in its object")
			}
		}
		s.space()
		if s.peek() != ':' {
			s.fail(s.at, "a colon is expected")
			return
		}
		s.at++
		s.space()
		s.value(depth + 1)
		s.space()
		switch s.peek() {
		case ',':
			s.at++
		case '}':
			s.at++
			s.names = s.names[:min(first, len(s.names))]
			return
		default:
			s.fail(s.at, "a comma or the end of the object is expected")
			return
		}
	}
}

// twice says whether the last name is also one of those from first on.
func (s *scanner) twice(first int, object *uint32) bool {
	last := len(s.names) - 1
	if last-first < fewNames {
		for i := first; i < last; i++ {
			if s.same(s.names[i], s.names[last]) {
				return true
			}
		}
		return false
	}
	if *object == 0 {
		if s.seen == nil {
			s.seen = map[nameKey]int32{}
		}
		s.object++
		*object = s.object
		for i := first; i < last; i++ {
			s.seen[nameKey{*object, s.hash(s.names[i])}] = int32(i)
		}
	}
	key := nameKey{*object, s.hash(s.names[last])}
	if i, is := s.seen[key]; is {
		return s.same(s.names[i], s.names[last])
	}
	s.seen[key] = int32(last)
	return false
}

func (s *scanner) hash(n span) uint64 { return maphash.Bytes(s.seed, s.name(n, 0)) }

func (s *scanner) same(a, b span) bool {
	if !a.escaped && !b.escaped {
		return a.to-a.from == b.to-b.from && string(s.text[a.from:a.to]) == string(s.text[b.from:b.to])
	}
	return string(s.name(a, 0)) == string(s.name(b, 1))
}

// name is what a name means. It is valid until the next call with the same room.
func (s *scanner) name(n span, room int) []byte {
	text := s.text[n.from:n.to]
	if !n.escaped {
		return text
	}
	s.scratch[room] = appendUnescaped(s.scratch[room][:0], text)
	return s.scratch[room]
}

// string reads a string.
func (s *scanner) string() span {
	s.at++
	n := span{from: int32(s.at)}
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '"':
			n.to = int32(s.at)
			s.at++
			return n
		case c == '\\':
			n.escaped = true
			s.escape()
		case c < ' ':
			s.fail(s.at, "a control character stands in a string")
		case c < utf8.RuneSelf:
			s.at++
		default:
			r, size := utf8.DecodeRune(s.text[s.at:])
			if r == utf8.RuneError && size == 1 {
				s.fail(s.at, "a string is not UTF-8")
				return n
			}
			s.at += size
		}
	}
	s.fail(len(s.text), "the text ends within a string")
	return n
}

// escape reads what stands behind a backslash. A half of a surrogate pair alone is no character, and readers differ in what they make of it.
func (s *scanner) escape() {
	from := s.at
	if s.at+1 >= len(s.text) {
		s.fail(len(s.text), "the text ends within a string")
		return
	}
	switch s.text[s.at+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.at += 2
	case 'u':
		r, ok := hex4(s.text[s.at+2:])
		s.at += 6
		switch {
		case !ok:
			s.fail(from, "an escape in a string is not good")
		case r >= 0xDC00 && r < 0xE000:
			s.fail(from, "half of a surrogate pair stands in a string")
		case r >= 0xD800 && r < 0xDC00:
			low, ok := rune(0), false
			if s.at+1 < len(s.text) && s.text[s.at] == '\\' && s.text[s.at+1] == 'u' {
				low, ok = hex4(s.text[s.at+2:])
			}
			if s.at += 6; !ok || low < 0xDC00 || low >= 0xE000 {
				s.fail(from, "half of a surrogate pair stands in a string")
			}
		}
	default:
		s.fail(from, "an escape in a string is not good")
	}
}

// number reads a number.
func (s *scanner) number() {
	from := s.at
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if s.digits() == 0 {
		s.fail(s.at, "a digit is expected")
		return
	}
	if s.peek() == '.' {
		if s.at++; s.digits() == 0 {
			s.fail(s.at, "a digit is expected")
			return
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		start := s.at
		if s.digits() == 0 {
			s.fail(s.at, "a digit is expected")
			return
		}
		if s.limits.Exponent > 0 && tooLarge(s.text[start:s.at], s.limits.Exponent) {
			s.fail(from, "a number is larger or smaller than allowed")
			return
		}
	}
	if s.limits.Digits > 0 && s.at-from > s.limits.Digits {
		s.fail(from, "a number has more digits than allowed")
	}
}

// digits reads digits and says how many there were.
func (s *scanner) digits() int {
	from := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at - from
}

// tooLarge says whether an exponent is above max.
func tooLarge(digits []byte, max int) bool {
	n := 0
	for _, c := range digits {
		if n = n*10 + int(c-'0'); n > max {
			return true
		}
	}
	return false
}

func hex4(text []byte) (rune, bool) {
	if len(text) < 4 {
		return 0, false
	}
	r := rune(0)
	for _, c := range text[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func skipSpace(text []byte, at int) int {
	for at < len(text) {
		switch text[at] {
		case ' ', '\t', '\n', '\r':
			at++
		default:
			return at
		}
	}
	return at
}

// skipString is where a string of a good text ends, and whether it has escapes. at is its quotation mark.
func skipString(text []byte, at int) (int, bool) {
	escaped := false
	for at++; text[at] != '"'; at++ {
		if text[at] == '\\' {
			escaped = true
			at++
		}
	}
	return at + 1, escaped
}

// skipValue is where a value of a good text ends.
func skipValue(text []byte, at int) int {
	for depth := 0; ; {
		switch text[at] {
		case '"':
			at, _ = skipString(text, at)
		case '{', '[':
			depth++
			at++
			continue
		case '}', ']':
			depth--
			at++
		case ',', ':', ' ', '\t', '\n', '\r':
			at++
			continue
		default:
			for at < len(text) && scalar[text[at]] {
				at++
			}
		}
		if depth == 0 {
			return at
		}
	}
}

// scalar are the bytes of numbers and words.
var scalar = func() (is [256]bool) {
	for _, c := range []byte("0123456789+-.eEtrufalsn") {
		is[c] = true
	}
	return
}()
