package compress

import (
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
)

// coding is a content coding (RFC 9110 §8.4.1; zstd is RFC 8878, br RFC 7932).
type coding uint8

const (
	none coding = iota // identity
	gzipped
	zstandard
	brotlied
	codings
)

var codingNames = [codings]string{none: "identity", gzipped: "gzip", zstandard: "zstd", brotlied: "br"}

func (c coding) String() string { return codingNames[c] }

// codingOf is the coding of a name, in any case; none also for names that are not known.
func codingOf(name string) coding {
	switch {
	case grammar.FoldIs(name, "gzip"), grammar.FoldIs(name, "x-gzip"): // RFC 9110 §8.4.1.3
		return gzipped
	case grammar.FoldIs(name, "zstd"):
		return zstandard
	case grammar.FoldIs(name, "br"):
		return brotlied
	}
	return none
}

// wishes are what a client says of codings: weights in thousandths, unsaid for nothing.
type wishes struct {
	of  [codings]int16 // of[none] is what is said of identity
	any int16          // of *
}

const unsaid = -1

// wishesOf reads all Accept-Encoding fields (RFC 9110 §12.5.3). What is not well-formed says nothing. Of a coding that is there more
// than once the lowest weight counts: what is refused somewhere is refused.
func wishesOf(h *exchange.Fields) (w wishes, said bool) {
	w.any = unsaid
	for i := range w.of {
		w.of[i] = unsaid
	}
	for _, f := range h.All() {
		if f.Known != exchange.AcceptEncoding {
			continue
		}
		said = true
		for element, rest, ok := grammar.NextElement(f.Value); ok; element, rest, ok = grammar.NextElement(rest) {
			w.add(element)
		}
	}
	return w, said
}

func (w *wishes) add(element string) {
	name, parameters, weighted := strings.Cut(element, ";")
	weight := int16(1000)
	if weighted {
		var ok bool
		if weight, ok = parseWeight(grammar.TrimSpace(parameters)); !ok {
			return
		}
	}
	at := &w.any
	switch name = grammar.TrimSpace(name); {
	case name == "*":
	case grammar.FoldIs(name, "identity"):
		at = &w.of[none]
	default:
		c := codingOf(name)
		if c == none {
			return
		}
		at = &w.of[c]
	}
	if *at == unsaid || weight < *at {
		*at = weight
	}
}

// parseWeight reads q=0.123 (RFC 9110 §12.4.2), in thousandths.
func parseWeight(s string) (int16, bool) {
	if len(s) < 3 || s[0]|0x20 != 'q' || s[1] != '=' || len(s) > len("q=0.000") || s[2] != '0' && s[2] != '1' {
		return 0, false
	}
	weight := int16(s[2]-'0') * 1000
	if len(s) == 3 {
		return weight, true
	}
	if s[3] != '.' {
		return 0, false
	}
	unit := int16(100)
	for i := 4; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		weight += int16(s[i]-'0') * unit
		unit /= 10
	}
	return weight, weight <= 1000
}

// choose is the coding the client likes best; the order of prefer decides between those it likes equally. none is for identity, which is
// what a client gets that says nothing of codings, or likes identity better by name. must says that it refuses identity.
func (s *settings) choose(h *exchange.Fields) (best coding, must bool) {
	w, said := wishesOf(h)
	if !said {
		return none, false
	}
	top := int16(0)
	for _, c := range s.prefer {
		weight := w.of[c]
		if weight == unsaid {
			weight = w.any
		}
		if weight > top {
			best, top = c, weight
		}
	}
	if w.of[none] > top {
		return none, false
	}
	return best, w.of[none] == 0 || w.of[none] == unsaid && w.any == 0
}
