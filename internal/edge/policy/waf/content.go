package waf

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/waf"
)

// within is for how long a body may be under way until it is held as a whole.
const within = 30 * time.Second

// content holds what of a request's content is to be looked at; look is false when its head alone is. When the content is too large, or cannot
// be had, the exchange has failed.
func (r *running) content(x *exchange.Exchange) (content []byte, look bool) {
	q := &x.Request
	switch {
	case q.Body == nil:
		return nil, true
	case !readable(q):
		x.Judge(Kind.Name, "uninspected")
		return nil, false
	case q.Length > r.maxBody:
		x.Judge(Kind.Name, "over")
		if r.blocks && !r.passes {
			x.Fail(fault.New(fault.HoldTooLarge, nil))
		}
		return nil, false
	case q.Length == exchange.Unknown && !r.blocks && !x.Held():
		// Its length shows when it is held, and a larger one could not be let on its way any more.
		x.Judge(Kind.Name, "unsized")
		return nil, false
	}
	body, f := x.HoldBody(exchange.Hold{Max: r.maxBody, Proven: x.Caller.Method != "", Within: within})
	if f != nil {
		if f.Kind == fault.HoldTooLarge {
			x.Judge(Kind.Name, "over")
			if !r.blocks { // held by another policy, as a whole
				return nil, false
			}
		}
		x.Fail(f)
		return nil, false
	}
	return body, true
}

// readable says whether the rules can look into the content: text, and what is written as text. A request that does not say what it has is
// looked into as if it were a form.
func readable(q *exchange.Request) bool {
	value, said := q.Header.Get(exchange.ContentType)
	if !said {
		return true
	}
	if end := strings.IndexAny(value, "; \t"); end >= 0 {
		value = value[:end]
	}
	for _, suffix := range []string{"json", "xml", "/x-www-form-urlencoded", "/graphql", "/x-ndjson", "/javascript"} {
		if hasSuffix(value, suffix) {
			return true
		}
	}
	return hasPrefix(value, "text/") || hasPrefix(value, "multipart/")
}

func hasPrefix(s, lower string) bool {
	return len(s) >= len(lower) && strings.EqualFold(s[:len(lower)], lower)
}

func hasSuffix(s, lower string) bool {
	return len(s) >= len(lower) && strings.EqualFold(s[len(s)-len(lower):], lower)
}

// readRules reads a file of own rules.
func readRules(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: found no regular file", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, waf.MaxRulesText+1))
	return string(text), err
}
