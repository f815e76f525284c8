package rewrite

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/policy"
)

// query changes the parameters of a query: removes some, renames some, then sets and adds. What it has no say about stays byte for byte.
type query struct {
	removed []string // names that go for good, those that are set included
	begins  []string // beginnings of names that go
	renamed []pair   // to is escaped
	written []parameter
}

type pair struct{ from, to string }

// parameter is one that is written behind the rest.
type parameter struct {
	name  string // escaped
	value *policy.Template
}

var (
	errParameter = errors.New("the rewritten query has a value that cannot be told of this request, or is too long")
	errQuery     = errors.New("the rewritten query is longer than 64 KiB")
)

// longestQuery bounds what comes out, in bytes: more than any query that comes in.
const longestQuery = 64 << 10

func newQuery(options *Query) (*query, error) {
	q := &query{}
	for _, name := range options.Remove {
		if begin, ok := strings.CutSuffix(name, "*"); ok {
			q.begins = append(q.begins, begin)
			continue
		}
		q.removed = append(q.removed, name)
	}
	for _, from := range slices.Sorted(maps.Keys(options.Rename)) {
		q.renamed = append(q.renamed, pair{from, escaped(options.Rename[from])})
	}
	for _, name := range slices.Sorted(maps.Keys(options.Set)) {
		if _, renamed := options.Rename[name]; renamed {
			return nil, fmt.Errorf("%q is set and renamed: choose one", name)
		}
		if _, too := options.Add[name]; too {
			return nil, fmt.Errorf("%q is set and added: choose one", name)
		}
		if err := q.write(name, options.Set[name]); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(options.Add)) {
		if err := q.write(name, options.Add[name]); err != nil {
			return nil, err
		}
	}
	for name := range options.Set {
		q.removed = append(q.removed, name)
		// What is renamed to a name that is set is gone, too: the one value is the configuration's.
		for from, to := range options.Rename {
			if to == name {
				q.removed = append(q.removed, from)
			}
		}
	}
	for _, name := range slices.Concat(q.removed, slices.Collect(maps.Values(options.Rename))) {
		if name == "" {
			return nil, errors.New("a parameter has no name")
		}
	}
	return q, nil
}

func (q *query) write(name, value string) error {
	if name == "" {
		return errors.New("a parameter has no name")
	}
	t, err := policy.NewTemplate(value)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	q.written = append(q.written, parameter{escaped(name), t})
	return nil
}

// of gives the query for an exchange, which lives as long as it does.
func (q *query) of(x *exchange.Exchange) (string, error) {
	b := x.Scratch()
	for rest := x.SentQuery(); rest != ""; {
		var parameter string
		parameter, rest, _ = strings.Cut(rest, "&")
		b = q.pass(b, parameter)
	}
	for i := range q.written {
		p := &q.written[i]
		b = append(separate(b), p.name...)
		b = append(b, '=')
		var ok bool
		if b, ok = p.value.AppendParam(b, x); !ok {
			return "", errParameter
		}
	}
	if len(b) > longestQuery {
		return "", errQuery
	}
	return x.KeepScratch(b), nil
}

// pass appends a parameter, unless it goes.
func (q *query) pass(b []byte, parameter string) []byte {
	name, _, _ := strings.Cut(parameter, "=")
	for _, removed := range q.removed {
		if means(name, removed, false) {
			return b
		}
	}
	for _, begin := range q.begins {
		if means(name, begin, true) {
			return b
		}
	}
	b = separate(b)
	for i := range q.renamed {
		if means(name, q.renamed[i].from, false) {
			b = append(b, q.renamed[i].to...)
			return append(b, parameter[len(name):]...)
		}
	}
	return append(b, parameter...)
}

func separate(b []byte) []byte {
	if len(b) > 0 {
		b = append(b, '&')
	}
	return b
}

// means says whether a name in a query, decoded as forms are, is want, or begins so. An escape that is none stands for itself, as lenient
// endpoints take it.
func means(name, want string, begins bool) bool {
	for want != "" {
		if name == "" {
			return false
		}
		c, size := name[0], 1
		switch {
		case c == '+':
			c = ' '
		case c == '%' && len(name) >= 3 && grammar.IsHexDigit(name[1]) && grammar.IsHexDigit(name[2]):
			c, size = digit(name[1])<<4|digit(name[2]), 3
		}
		if c != want[0] {
			return false
		}
		name, want = name[size:], want[1:]
	}
	return begins || name == ""
}

func digit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// escaped is a name as it stands in a query: all but unreserved characters (RFC 3986 §2.3) are escaped.
func escaped(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
