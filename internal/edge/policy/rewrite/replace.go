package rewrite

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// replacement is a regular expression and what its matches become.
type replacement struct {
	match *regexp.Regexp
	with  []piece
}

// piece is a stretch of text, then perhaps a group.
type piece struct {
	literal string
	group   int // -1 for none
}

func newReplacement(options *Replacement) (r replacement, err error) {
	if r.match, err = regexp.Compile(options.Match); err != nil {
		return r, fmt.Errorf("replace: %w", err)
	}
	if r.match.MatchString("") {
		return r, fmt.Errorf("replace: %.60q matches nothing at all, too, and would so match between all characters: ask for one character at least", options.Match)
	}
	r.with, err = r.compile(options.With)
	return r, err
}

// compile takes {1}, {name}, {{ and }} in what a match becomes.
func (r *replacement) compile(text string) (pieces []piece, err error) {
	var literal strings.Builder
	for at := 0; at < len(text); {
		switch rest := text[at:]; {
		case strings.HasPrefix(rest, "{{"), strings.HasPrefix(rest, "}}"):
			literal.WriteByte(rest[0])
			at += 2
		case rest[0] == '}':
			return nil, fmt.Errorf("replace: found } without { in %.60q; write }} for a brace", text)
		case rest[0] == '{':
			name, _, closed := strings.Cut(rest[1:], "}")
			if !closed {
				return nil, fmt.Errorf("replace: a brace in %.60q is not closed; write {{ for a brace", text)
			}
			group := r.group(name)
			if group < 0 {
				return nil, fmt.Errorf("replace: %.60q has no group {%.60s}; its groups are {0} to {%d}, the first being all of a match", r.match.String(), name, r.match.NumSubexp())
			}
			pieces = append(pieces, piece{literal.String(), group})
			literal.Reset()
			at += len(name) + 2
		default:
			literal.WriteByte(rest[0])
			at++
		}
	}
	if literal.Len() > 0 {
		pieces = append(pieces, piece{literal.String(), -1})
	}
	return pieces, nil
}

// group is the number of a group that a name or a number stands for, -1 for none.
func (r *replacement) group(name string) int {
	if n, err := strconv.Atoi(name); err == nil {
		if n >= 0 && n <= r.match.NumSubexp() && strconv.Itoa(n) == name {
			return n
		}
		return -1
	}
	if name == "" {
		return -1
	}
	return r.match.SubexpIndex(name)
}

// apply replaces what matches in b[from:]. What comes of it is put together behind and moved to its place. It reports false when that is
// too long.
func (r *replacement) apply(b []byte, from int) ([]byte, bool) {
	all := r.match.FindAllSubmatchIndex(b[from:], -1)
	if all == nil {
		return b, true
	}
	end, at := len(b), from
	for _, m := range all {
		b = append(b, b[at:from+m[0]]...)
		for _, p := range r.with {
			b = append(b, p.literal...)
			if p.group >= 0 && m[2*p.group] >= 0 {
				b = append(b, b[from+m[2*p.group]:from+m[2*p.group+1]]...)
			}
		}
		at = from + m[1]
		if len(b)-end > longest {
			return b[:end], false
		}
	}
	b = append(b, b[at:end]...)
	n := copy(b[from:], b[end:])
	return b[:from+n], n <= longest
}
