package freshness

import (
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/exchange"
)

// fields makes a list of fields from lines.
func fields(lines ...string) *exchange.Fields {
	h := &exchange.Fields{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ":")
		h.Add(name, strings.TrimSpace(value))
	}
	return h
}

// start is when most tests begin: a Sunday.
var start = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

// at is the Unix time in nanoseconds so many seconds after start.
func at(seconds float64) int64 { return start.UnixNano() + int64(seconds*1e9) }

// date is a date field's value so many seconds after start.
func date(seconds int) string {
	return start.Add(time.Duration(seconds) * time.Second).Format("Mon, 02 Jan 2006 15:04:05 GMT")
}

func texts(h *exchange.Fields) string {
	var out []string
	for _, f := range h.All() {
		out = append(out, f.Name+": "+f.Value)
	}
	return strings.Join(out, "\n")
}

func keeper(h *exchange.Fields) func(*exchange.Field) {
	return func(f *exchange.Field) { h.Append(f.Known, f.Name, f.Value) }
}

// asked is what a plain request says.
func asked() *Request {
	r := ReadRequest(fields(), &Rules{})
	return &r
}

func TestWords(t *testing.T) {
	seen := map[Why]bool{}
	for _, w := range Words() {
		if s := Explain(w); seen[w] || w == "" || !strings.Contains(s, "RFC ") && w != StatusNotListed {
			t.Errorf("%q: %q", w, s)
		}
		seen[w] = true
	}
	if Explain("nonsense") != "" {
		t.Error("a word that is none has a sentence")
	}
}
