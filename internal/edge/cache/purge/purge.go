// Package purge is the rules by which stored answers are removed before their time (steps 5 and 8). A rule says what is gone and since when; an
// object is compared with the rules when it is looked up, which costs one comparison of numbers as long as no rule is new to it.
//
// In reading order: purge.go (a rule and its reach), list.go (the rules in force), url.go (rules from what people write), file.go (rules outlive a
// restart).
//
// It refuses to know what is stored, to remove anything, and to look at a clock.
package purge

import (
	"fmt"
	"strings"
)

// Kind is what a rule goes by.
type Kind uint8

// The kinds.
const (
	URL      Kind = iota // one URL, with exactly this query or none
	Resource             // one URL without its query, and with any: written with ?* at the end
	Prefix               // URLs that begin with it
	Tag                  // objects with this surrogate key; upper and lower case differ
	All                  // everything
	kinds
)

var kindNames = [kinds]string{"url", "resource", "prefix", "tag", "all"}

func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return fmt.Sprint("kind ", uint8(k))
}

// Rule says that what it matches, and was asked for at its time or before, is gone; or with Soft, that it is stale. It is immutable.
type Rule struct {
	Number uint64 // in the order rules came to this gateway, from 1; given by List.Add
	Kind   Kind
	Text   string // URL, Resource (up to the question mark), Prefix: in canonical form; Tag
	Soft   bool
	At     int64 // Unix time in nanoseconds

	joined bool // made of others, with which alone objects may have been compared
}

// Matches says whether a rule is for an object with this URL, in canonical form, and these tags.
func (r *Rule) Matches(url string, tags []string) bool {
	switch r.Kind {
	case URL:
		return url == r.Text
	case Resource:
		return strings.HasPrefix(url, r.Text) && (len(url) == len(r.Text) || url[len(r.Text)] == '?')
	case Prefix:
		return strings.HasPrefix(url, r.Text)
	case Tag:
		for _, t := range tags {
			if t == r.Text {
				return true
			}
		}
		return false
	}
	return true
}

// covers says whether whatever another rule does to an object, this one does as well, or more.
func (r *Rule) covers(q *Rule) bool {
	if r.At < q.At || r.Soft && !q.Soft {
		return false
	}
	switch {
	case r.Kind == All:
		return true
	case r.Kind == q.Kind && r.Text == q.Text:
		return true
	case q.Kind == Tag || q.Kind == All:
		return false
	case r.Kind == Prefix:
		return strings.HasPrefix(q.Text, r.Text)
	case r.Kind == Resource && q.Kind == URL:
		return r.Matches(q.Text, nil)
	}
	return false
}

// both is a rule that covers two others: a prefix where they are for URLs of one host, everything otherwise.
func both(a, b *Rule) Rule {
	joined := Rule{Number: max(a.Number, b.Number), Kind: All, Soft: a.Soft && b.Soft, At: max(a.At, b.At), joined: true}
	if common := a.common(b); common != "" {
		joined.Kind, joined.Text = Prefix, common
	}
	return joined
}

// common is the longest beginning that the URLs of two rules have in common; empty when it would reach beyond one host.
func (r *Rule) common(q *Rule) string {
	if r.Kind >= Tag || q.Kind >= Tag {
		return ""
	}
	n := 0
	for n < len(r.Text) && n < len(q.Text) && r.Text[n] == q.Text[n] {
		n++
	}
	if _, rest, ok := strings.Cut(r.Text[:n], "://"); !ok || !strings.Contains(rest, "/") {
		return ""
	}
	return r.Text[:n]
}
