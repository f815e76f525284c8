// Package consumer knows who may call: consumers, the plans they share, and the credentials they show. It serves step 4, where the
// policies that authenticate look credentials up. A Directory holds them all; it is immutable and belongs to one revision, so a credential
// that is taken out of the configuration stops with the revision that had it.
//
// In reading order: consumer.go (who calls), key.go, password.go and expiry.go (what is shown, and for how long), builder.go (how a directory
// is made), file.go (many credentials, one a line), directory.go, certificate.go and subject.go (how they are found), and below them slab.go,
// index.go, text.go and set.go, which keep a million of them in less than 200 bytes each.
//
// It refuses to hold a secret where a hash will do, and to say why a credential is not good to anyone but its caller.
package consumer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Consumer is who calls. It is immutable.
type Consumer struct {
	ID   string // unique; 1 to 128 visible ASCII characters, fit for a header field, a log and a label
	Name string // for people; ID when the configuration has none
	Plan *Plan  // nil for none
	// Groups and Tags are sorted. Groups decide what a consumer may do; tags are for people and logs alone.
	Groups, Tags []string
	// GroupList is Groups joined by commas, as endpoints are told.
	GroupList string
}

// In says whether the consumer is in a group.
func (c *Consumer) In(group string) bool {
	for _, g := range c.Groups {
		if g == group {
			return true
		}
	}
	return false
}

// Plan is what a group of consumers may use. It is immutable.
type Plan struct {
	Name   string
	Rates  []Rate
	Quotas []Quota
}

// Rate is how many requests a plan allows in a short time.
type Rate struct {
	Requests int
	Per      int64 // nanoseconds
	Burst    int   // at once; Requests when the configuration has none
}

// Quota is how many requests a plan allows in a calendar period.
type Quota struct {
	Requests int64
	Period   string // day or month
}

// The most there may be of each, in bytes or items.
const (
	maxID    = 128 // of a consumer
	maxName  = 256
	maxLabel = 64 // the id of a credential
	maxWord  = 128
	maxWords = 256 // groups, tags or scopes of one
)

// checkID judges the id of a consumer.
func checkID(id string) error {
	if id == "" || len(id) > maxID || !alphanumeric(id[0]) || !only(id, "._@:-") {
		return fmt.Errorf("found the consumer id %.140q; allowed: 1 to %d letters, digits and . _ @ : -, the first a letter or digit", id, maxID)
	}
	return nil
}

// checkLabel judges the id of a credential. It does not repeat it: somebody may have put the secret there.
func checkLabel(id string) error {
	if len(id) > maxLabel || !only(id, "._-") {
		return fmt.Errorf("found a credential id of %d bytes that is none; allowed: 1 to %d letters, digits and . _ -", len(id), maxLabel)
	}
	return nil
}

func checkName(name string) error {
	if len(name) > maxName || !fits(name) {
		return fmt.Errorf("found the name %.280q; allowed: up to %d bytes of UTF-8 without control characters, and without spaces at its ends", name, maxName)
	}
	return nil
}

// checkWord judges a group or a scope, which are told to endpoints in lists: what is one of RFC 6749 §3.3's scope tokens, without commas.
func checkWord(what, word string) error {
	ok := word != "" && len(word) <= maxWord
	for i := range len(word) {
		if c := word[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == ',' {
			ok = false
		}
	}
	if !ok {
		return fmt.Errorf("found the %s %.140q; allowed: 1 to %d visible ASCII characters without comma, quote and backslash", what, word, maxWord)
	}
	return nil
}

// checkTag judges a tag, which is for people alone.
func checkTag(word string) error {
	if word == "" || len(word) > maxWord || !fits(word) || strings.Contains(word, ",") {
		return fmt.Errorf("found the tag %.140q; allowed: 1 to %d bytes of UTF-8 without comma and control characters, and without spaces at its ends", word, maxWord)
	}
	return nil
}

// fits says whether text may stand in a header field's value and in a log as it is.
func fits(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == 0x7f {
			return false
		}
	}
	return text == "" || utf8.ValidString(text) && text[0] != ' ' && text[len(text)-1] != ' '
}

// only says whether text is letters, digits and bytes of besides.
func only(text, besides string) bool {
	for i := range len(text) {
		if c := text[i]; !alphanumeric(c) && strings.IndexByte(besides, c) < 0 {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
