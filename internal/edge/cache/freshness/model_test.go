package freshness

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What follows is RFC 9111 once more, slowly: whole seconds, maps, regular expressions, one function a paragraph, and nothing of the package but the
// settings of a route. It says what is allowed; where the standard leaves a choice it allows all of it.

// message is a request or a response: values of fields by lower-case name, one a line.
type message map[string][]string

// heard is what a model's cache remembers of a response.
type heard struct {
	request     message
	status      int
	header      message
	asked, came int64  // Unix seconds
	target      *aimed // what the first of its targeted fields that counts says, by the table of the generator
}

// aimed is a targeted field as the generator made it, with what it means.
type aimed struct {
	text  string
	valid bool
	means string // the same in Cache-Control
}

var aims = []aimed{
	{"max-age=60", true, "max-age=60"},
	{"max-age=5, stale-while-revalidate=30", true, "max-age=5, stale-while-revalidate=30"},
	{"no-store", true, "no-store"},
	{"no-store=?0, max-age=9", true, "max-age=9"},
	{"max-age=60;x, no-cache", true, "no-cache, max-age=60"},
	{"max-age=9, max-age=90", true, "max-age=90"},
	{"private=?1, max-age=60", true, "private, max-age=60"},
	{"none", true, "none"},
	{"public, s-maxage=7", true, "public, s-maxage=7"},
	{"must-revalidate, max-age=2", true, "must-revalidate, max-age=2"},
	{"max-age=60,", false, ""},
	{"Max-Age=60", false, ""},
	{"max-age = 60", false, ""},
	{"", false, ""},
}

type said struct{ name, value string }

var directivePattern = regexp.MustCompile(`([A-Za-z0-9-]+)\s*(?:(=)(?:"((?:[^"\\]|\\.)*)"|([^,"]*)))?`)

// says are the directives of Cache-Control, in order; a directive without argument has the value "-".
func says(lines []string) (all []said) {
	for _, m := range directivePattern.FindAllStringSubmatch(strings.Join(lines, ", "), -1) {
		value := "-"
		if m[2] != "" {
			value = m[3] + m[4]
		}
		all = append(all, said{strings.ToLower(m[1]), value})
	}
	return all
}

func firstOf(all []said, name string) (string, bool) {
	for _, s := range all {
		if s.name == name {
			return s.value, true
		}
	}
	return "", false
}

// bare says whether a directive stands there without a list of fields.
func bare(all []said, name string) bool {
	return slices.ContainsFunc(all, func(s said) bool { return s.name == name && (s.value == "-" || s.value == "") })
}

func has(all []said, name string) bool { _, ok := firstOf(all, name); return ok }

// delta is delta-seconds: 0 when it is wrong (§4.2.1), and not said when it is not there.
func delta(all []said, name string) (n int64, ok bool) {
	v, ok := firstOf(all, name)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil && len(strings.Trim(v, "0123456789")) == 0 && v != "" {
		n, err = 1<<31, nil
	}
	if err != nil || strings.HasPrefix(v, "-") || strings.HasPrefix(v, "+") {
		return 0, true
	}
	return min(n, 1<<31), true
}

func (h *heard) directives(rules *Rules) []said {
	if h.target != nil {
		return says([]string{h.target.means})
	}
	return says(h.header["cache-control"])
}

func when(lines []string) (int64, bool) {
	if len(lines) == 0 {
		return 0, false
	}
	t, err := http.ParseTime(lines[0])
	return t.Unix(), err == nil
}

func (h *heard) dated() int64 {
	if d, ok := when(h.header["date"]); ok {
		return d
	}
	return h.came
}

// age is §4.2.3; of a list the first counts, and what is wrong is ignored (§5.1).
func (h *heard) age(now int64) int64 {
	value := int64(0)
	if lines := h.header["age"]; len(lines) > 0 {
		first, _, _ := strings.Cut(lines[0], ",")
		if n, err := strconv.ParseUint(strings.TrimSpace(first), 10, 31); err == nil {
			value = int64(n)
		}
	}
	apparent := max(0, h.came-h.dated())
	corrected := value + (h.came - h.asked)
	return max(apparent, corrected) + (now - h.came)
}

// lifetime is §4.2.1 for a shared cache.
func (h *heard) lifetime(rules *Rules) int64 {
	d := h.directives(rules)
	if n, ok := delta(d, "s-maxage"); ok {
		return n
	}
	if n, ok := delta(d, "max-age"); ok {
		return n
	}
	if lines := h.header["expires"]; len(lines) > 0 && h.target == nil {
		at, ok := when(lines)
		if !ok {
			return 0
		}
		return at - h.dated()
	}
	if !guessed[h.status] && !has(d, "public") { // §4.2.2
		return 0
	}
	if rules.DefaultTTL > 0 {
		return int64(rules.DefaultTTL / time.Second)
	}
	changed, ok := when(h.header["last-modified"])
	if !ok || changed > h.dated() {
		return 0
	}
	return min(int64(float64(h.dated()-changed)*rules.Heuristic), 86400)
}

var guessed = map[int]bool{200: true, 203: true, 204: true, 300: true, 301: true, 308: true, 404: true, 405: true, 410: true, 414: true, 501: true}

// mayStore is §3 and §3.5.
func (h *heard) mayStore(method string, rules *Rules) string {
	d := h.directives(rules)
	ask := says(h.request["cache-control"])
	explicit := has(d, "public") || has(d, "max-age") || has(d, "s-maxage") || len(h.header["expires"]) > 0 && h.target == nil || rules.Partitioned && has(d, "private")
	known := h.status == 200 || h.status == 203 || h.status == 301 || h.status == 302 || h.status == 404 || h.status == 500 || h.status == 503
	switch {
	case method != "GET":
		return "the method is not understood"
	case h.status < 200, h.status == 206, h.status == 304, h.status == 429:
		return "the status is not one to store"
	case has(d, "must-understand") && !known:
		return "must-understand"
	case has(d, "no-store") && !has(d, "must-understand"):
		return "no-store"
	case has(ask, "no-store"):
		return "the request's no-store"
	case bare(d, "private") && !rules.Partitioned:
		return "private"
	case len(h.request["authorization"]) > 0 && !rules.Partitioned && !has(d, "public") && !has(d, "must-revalidate") && !has(d, "s-maxage"):
		return "Authorization"
	case !explicit && !guessed[h.status]:
		return "nothing explicit"
	case len(h.header["set-cookie"]) > 0 && !rules.StripCookies && !rules.StoreCookies && !slices.Contains(h.secret(rules), "set-cookie"):
		return "Set-Cookie (the project's own rule)"
	}
	return ""
}

// secret are the fields that §3.1 and §5.2.2 keep out.
func (h *heard) secret(rules *Rules) (names []string) {
	for _, s := range says(h.header["cache-control"]) {
		if s.name == "no-cache" || s.name == "private" && !rules.Partitioned {
			for _, n := range strings.Split(s.value, ",") {
				names = append(names, strings.ToLower(strings.TrimSpace(n)))
			}
		}
	}
	return names
}

// kept is what of the header is stored.
func (h *heard) kept(rules *Rules) message {
	out := maps.Clone(h.header)
	leave := append(h.secret(rules), "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection", "age")
	for _, line := range h.header["connection"] {
		for _, n := range strings.Split(line, ",") {
			leave = append(leave, strings.ToLower(strings.TrimSpace(n)))
		}
	}
	if !rules.StoreCookies {
		leave = append(leave, "set-cookie")
	}
	for _, n := range leave {
		delete(out, n)
	}
	return out
}

// renewed is §3.2: a stored response after a 304. Its age is that of the 304.
func (h *heard) renewed(by *heard, rules *Rules) *heard {
	old, fresh := *h, *by
	out := &heard{request: by.request, status: h.status, asked: by.asked, came: by.came}
	header := h.kept(rules)
	if len(by.header["cache-control"]) > 0 {
		header["cache-control"] = by.header["cache-control"]
	} else if len(h.header["cache-control"]) > 0 {
		fresh.header = maps.Clone(by.header)
		fresh.header["cache-control"] = h.header["cache-control"]
	}
	old.header = header
	header = old.kept(rules)
	delete(header, "date")
	for name, lines := range fresh.kept(rules) {
		switch name {
		case "content-length", "content-encoding", "content-range", "etag":
		default:
			header[name] = lines
		}
	}
	delete(header, "age")
	if a, ok := by.header["age"]; ok {
		header["age"] = a
	}
	out.header = header
	return out
}

// mustBeFresh is §4.2.4: directives that forbid to use it stale.
func (h *heard) mustBeFresh(rules *Rules) bool {
	d := h.directives(rules)
	return has(d, "must-revalidate") || has(d, "proxy-revalidate") || has(d, "s-maxage")
}

// ask is what the request says, as far as the route listens.
func ask(request message, rules *Rules) (d []said, noCache bool) {
	d = says(request["cache-control"])
	noCache = has(d, "no-cache")
	if len(request["cache-control"]) == 0 {
		noCache = slices.ContainsFunc(request["pragma"], func(s string) bool { return strings.Contains(s, "no-cache") })
	}
	if rules.IgnoreRequest {
		d = slices.DeleteFunc(d, func(s said) bool { return s.name == "max-age" || s.name == "min-fresh" })
		noCache = false
	}
	return d, noCache
}

// mayServe is §4: without asking anybody, and without renewing it.
func (h *heard) mayServe(request message, now int64, rules *Rules) string {
	if why := h.mayTouch(request, rules); why != "" {
		return why
	}
	d, _ := ask(request, rules)
	age, lifetime := h.age(now), h.lifetime(rules)
	immutable := has(h.directives(rules), "immutable") && lifetime > age
	if n, ok := delta(d, "max-age"); ok && age > n && !immutable {
		return fmt.Sprintf("max-age: it is %d old", age)
	}
	if n, ok := delta(d, "min-fresh"); ok && lifetime-age < n {
		return "min-fresh"
	}
	if lifetime > age {
		return ""
	}
	stale := age - lifetime
	v, ok := firstOf(d, "max-stale")
	n, _ := delta(d, "max-stale")
	switch {
	case h.mustBeFresh(rules):
		return "must be fresh"
	case !ok:
		return fmt.Sprintf("stale: %d old of %d", age, lifetime)
	case v != "-" && stale > n:
		return "more stale than max-stale"
	}
	return ""
}

// mayTouch is what forbids each use without validation, fresh or not.
func (h *heard) mayTouch(request message, rules *Rules) string {
	_, noCache := ask(request, rules)
	switch {
	case !h.matches(request):
		return "Vary"
	case bare(h.directives(rules), "no-cache"):
		return "no-cache"
	case noCache:
		return "the request's no-cache"
	}
	return ""
}

// mayRenew is RFC 5861 §3: stale, while it is renewed.
func (h *heard) mayRenew(request message, now int64, rules *Rules) string {
	if why := h.mayTouch(request, rules); why != "" {
		return why
	}
	d, _ := ask(request, rules)
	stale := h.age(now) - h.lifetime(rules)
	window, ok := delta(h.directives(rules), "stale-while-revalidate")
	if !ok {
		window = int64(rules.StaleWhileRevalidate / time.Second)
	}
	if n, ok := delta(d, "max-age"); ok && (h.age(now) > n || stale >= 0) {
		return "max-age"
	}
	if n, ok := delta(d, "min-fresh"); ok && -stale < n {
		return "min-fresh"
	}
	if h.mustBeFresh(rules) {
		return "must be fresh"
	}
	if stale > window {
		return "not for so long"
	}
	return ""
}

// mayRescue is RFC 5861 §4.
func (h *heard) mayRescue(request message, now int64, rules *Rules) string {
	if why := h.mayTouch(request, rules); why != "" {
		return why
	}
	stale := h.age(now) - h.lifetime(rules)
	if stale < 0 {
		return ""
	}
	if h.mustBeFresh(rules) {
		return "must be fresh"
	}
	d, _ := ask(request, rules)
	window, ok := delta(h.directives(rules), "stale-if-error")
	if !ok && rules.StaleIfError > 0 {
		window, ok = int64(rules.StaleIfError/time.Second), true
	}
	asked, also := delta(d, "stale-if-error")
	switch {
	case !ok && !also:
		return "nobody allows it"
	case ok && stale > window, also && stale > asked:
		return "not for so long"
	}
	return ""
}

// matches is §4.1.
func (h *heard) matches(request message) bool {
	for _, line := range h.header["vary"] {
		for _, name := range strings.Split(line, ",") {
			name = strings.ToLower(strings.TrimSpace(name))
			mine, theirs := h.request[name], request[name]
			switch {
			case name == "":
			case name == "*":
				return false
			case (len(mine) == 0) != (len(theirs) == 0):
				return false
			case name == "accept-encoding":
				for _, coding := range []string{"gzip", "br", "zstd", "dcb", "identity"} {
					if accepts(mine, coding) != accepts(theirs, coding) {
						return false
					}
				}
			case name == "accept-language":
				liked := weights(theirs)
				best := 0.0
				for _, q := range liked {
					best = max(best, q)
				}
				language := strings.ToLower(strings.Join(h.header["content-language"], ","))
				if best > 0 && liked[language] == best {
					continue
				}
				if !maps.Equal(liked, weights(mine)) {
					return false
				}
			default:
				if tight(mine) != tight(theirs) {
					return false
				}
			}
		}
	}
	return true
}

func tight(lines []string) string {
	all := strings.Join(lines, ",")
	for _, space := range []string{" ,", ", "} {
		for strings.Contains(all, space) {
			all = strings.ReplaceAll(all, space, ",")
		}
	}
	return strings.TrimSpace(all)
}

func weights(lines []string) map[string]float64 {
	out := map[string]float64{}
	for _, m := range strings.Split(strings.ToLower(strings.Join(lines, ",")), ",") {
		name, weight, weighted := strings.Cut(m, ";")
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		q := 1.0
		if weighted {
			q, _ = strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
		}
		out[name] = max(q, out[name]) // said twice: the standard does not say which counts
	}
	return out
}

// accepts is RFC 9110 §12.5.3.
func accepts(lines []string, coding string) bool {
	w := weights(lines)
	if q, ok := w[coding]; ok {
		return q > 0
	}
	q, any := w["*"]
	if coding == "identity" {
		return !any || q > 0
	}
	return any && q > 0
}
