package object

import (
	"slices"

	"straum.dev/straum/internal/edge/cache/freshness"
)

// Variants says which fields tell the responses of a resource apart.
type Variants struct {
	Nonce uint64 // part of the keys of variants, so that those of an older list are never found again
	Sets  []Set  // the newest first, MaxSets at most
}

// Set is one value of Vary, and what was stored under it.
type Set struct {
	Names    []string // in lower case, sorted, each once; freshness.MaxVary at most
	Language string   // Content-Language of a response of this set; for Accept-Language
	Keys     []Key    // of its variants, the newest last
}

// The most a list of variants may have.
const (
	MaxSets = 8
	MaxKeys = 256 // of all sets together
)

// NewVariants makes a list of variants. All of it is copied, as far as a list may go: of more sets or keys the oldest are left out.
func NewVariants(v *Variants, url string, terms freshness.Terms) *Object {
	sets := v.Sets[:min(len(v.Sets), MaxSets)]
	size := len(url)
	for i := range sets {
		size += len(sets[i].Language)
		for _, name := range sets[i].Names {
			size += len(name)
		}
	}
	b := make([]byte, 0, size)
	keep := func(s string) string {
		from := len(b)
		b = append(b, s...)
		return view(b[from:])
	}
	list := &Variants{Nonce: v.Nonce, Sets: make([]Set, len(sets))}
	o := &Object{Terms: terms, Variants: list, URL: keep(url), text: size}
	left := MaxKeys
	for i := range sets {
		from, to := &sets[i], &list.Sets[i]
		to.Names = make([]string, len(from.Names))
		for j, name := range from.Names {
			to.Names[j] = keep(name)
		}
		to.Language = keep(from.Language)
		to.Keys = slices.Clone(from.Keys[max(0, len(from.Keys)-left):])
		left -= len(to.Keys)
	}
	return o
}
