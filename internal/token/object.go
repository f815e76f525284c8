package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep the JSON of a token may nest.
const MaxDepth = 16

// maxNumber is the longest number, in bytes.
const maxNumber = 64

// Object reads one JSON object, so strictly that no two readers could understand it differently (RFC 8259 as I-JSON, RFC 7493, narrows
// it): no name twice in an object, valid UTF-8, no half surrogates, nothing behind the object, at most MaxDepth levels. Its values are
// map[string]any, []any, string, json.Number, bool and nil. What it returns shares nothing with text. Errors show none of the text.
func Object(text []byte) (map[string]any, error) { return object(text, MaxDepth) }

func object(text []byte, depth int) (map[string]any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	r := reader{text: text}
	r.space()
	if r.peek() != '{' {
		return nil, r.errorf("an object was expected")
	}
	v, err := r.value(depth)
	if err != nil {
		return nil, err
	}
	r.space()
	if r.at != len(text) {
		return nil, r.errorf("something follows the object")
	}
	return v.(map[string]any), nil
}

// reader reads JSON from front to back. Its methods leave at behind what they read.
type reader struct {
	text []byte
	at   int
}

func (r *reader) errorf(what string) error { return fmt.Errorf("byte %d: %s", r.at, what) }

// peek is the next byte, 0 at the end, which no rule takes for anything.
func (r *reader) peek() byte {
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

func (r *reader) space() {
	for {
		switch r.peek() {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// value reads a value that may nest depth levels.
func (r *reader) value(depth int) (any, error) {
	switch c := r.peek(); {
	case c == '{' || c == '[':
		if depth == 0 {
			return nil, r.errorf("nested too deeply")
		}
		if c == '{' {
			return r.members(depth - 1)
		}
		return r.items(depth - 1)
	case c == '"':
		return r.str()
	case c == '-' || '0' <= c && c <= '9':
		return r.number()
	case c == 't':
		return true, r.word("true")
	case c == 'f':
		return false, r.word("false")
	case c == 'n':
		return nil, r.word("null")
	}
	return nil, r.errorf("a value was expected")
}

func (r *reader) word(word string) error {
	if len(r.text)-r.at < len(word) || string(r.text[r.at:r.at+len(word)]) != word {
		return r.errorf("a value was expected")
	}
	r.at += len(word)
	return nil
}

func (r *reader) members(depth int) (any, error) {
	out := map[string]any{}
	r.at++
	r.space()
	if r.peek() == '}' {
		r.at++
		return out, nil
	}
	for {
		r.space()
		if r.peek() != '"' {
			return nil, r.errorf("a name was expected")
		}
		name, err := r.str()
		if err != nil {
			return nil, err
		}
		if _, twice := out[name]; twice {
			return nil, r.errorf("a name that stands twice in an object")
		}
		r.space()
		if r.peek() != ':' {
			return nil, r.errorf("a colon was expected")
		}
		r.at++
		r.space()
		if out[name], err = r.value(depth); err != nil {
			return nil, err
		}
		if more, err := r.more('}'); err != nil || !more {
			return out, err
		}
	}
}

func (r *reader) items(depth int) (any, error) {
	out := []any{}
	r.at++
	r.space()
	if r.peek() == ']' {
		r.at++
		return out, nil
	}
	for {
		r.space()
		v, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		if more, err := r.more(']'); err != nil || !more {
			return out, err
		}
	}
}

// more reads what stands behind an item: a comma, or the end of the list.
func (r *reader) more(end byte) (bool, error) {
	r.space()
	switch r.peek() {
	case ',':
		r.at++
		return true, nil
	case end:
		r.at++
		return false, nil
	}
	return false, r.errorf("a comma or the end was expected")
}

// str reads a string from its first quotation mark on.
func (r *reader) str() (string, error) {
	r.at++
	start := r.at
	for r.at < len(r.text) && r.text[r.at] != '"' && r.text[r.at] != '\\' && r.text[r.at] >= ' ' {
		r.at++
	}
	if r.peek() == '"' { // by far the most: nothing to undo
		r.at++
		return string(r.text[start : r.at-1]), nil
	}
	out := append([]byte(nil), r.text[start:r.at]...)
	for r.at < len(r.text) {
		c := r.text[r.at]
		switch {
		case c == '"':
			r.at++
			return string(out), nil
		case c < ' ':
			return "", r.errorf("a control character in a string")
		case c != '\\':
			out = append(out, c)
			r.at++
		default:
			char, err := r.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, char)
		}
	}
	return "", r.errorf("a string without an end")
}

// escape reads what a backslash begins.
func (r *reader) escape() (rune, error) {
	r.at++
	c := r.peek()
	r.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		first, err := r.hex()
		if err != nil || !utf16.IsSurrogate(first) {
			return first, err
		}
		if r.at+1 >= len(r.text) || r.text[r.at] != '\\' || r.text[r.at+1] != 'u' {
			return 0, r.errorf("half a character")
		}
		r.at += 2
		second, err := r.hex()
		if err != nil {
			return 0, err
		}
		both := utf16.DecodeRune(first, second)
		if both == utf8.RuneError {
			return 0, r.errorf("half a character")
		}
		return both, nil
	}
	return 0, r.errorf("an unknown escape")
}

func (r *reader) hex() (rune, error) {
	if len(r.text)-r.at < 4 {
		return 0, r.errorf("four hexadecimal digits were expected")
	}
	digits := r.text[r.at : r.at+4]
	for _, c := range digits {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
			return 0, r.errorf("four hexadecimal digits were expected")
		}
	}
	n, _ := strconv.ParseUint(string(digits), 16, 16) // four hexadecimal digits always fit
	r.at += 4
	return rune(n), nil
}

// number reads a number (RFC 8259 §6).
func (r *reader) number() (any, error) {
	start := r.at
	if r.peek() == '-' {
		r.at++
	}
	if r.peek() == '0' {
		r.at++
	} else if !r.digits() {
		return nil, r.errorf("a digit was expected")
	}
	if r.peek() == '.' {
		r.at++
		if !r.digits() {
			return nil, r.errorf("a digit was expected")
		}
	}
	if r.peek()|0x20 == 'e' {
		r.at++
		if c := r.peek(); c == '+' || c == '-' {
			r.at++
		}
		if !r.digits() {
			return nil, r.errorf("a digit was expected")
		}
	}
	if r.at-start > maxNumber {
		return nil, r.errorf("a number that is too long")
	}
	return json.Number(r.text[start:r.at]), nil
}

func (r *reader) digits() bool {
	start := r.at
	for '0' <= r.peek() && r.peek() <= '9' {
		r.at++
	}
	return r.at > start
}
