package mix

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// line is one line of an access log, of whichever form.
type line struct {
	method, host, target string
	when                 time.Time // zero when the line has none
	status               int
	masked               bool   // the query was redacted, or the path cut
	authenticated        bool   // somebody showed a credential
	lost                 uint64 // not a request: so many lines are missing
}

// parse reads a line: JSON as the gateway writes it (docs/log.md), or nginx's combined form, which Apache's common and combined forms begin
// like. It is false when it is neither.
func parse(text string) (line, bool) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") {
		return parseJSON(text)
	}
	return parseCombined(text)
}

// parseJSON reads a line of the gateway's own log.
func parseJSON(text string) (line, bool) {
	var l struct {
		Time     time.Time `json:"time"`
		Method   string    `json:"method"`
		Host     string    `json:"host"`
		Path     string    `json:"path"`
		Query    string    `json:"query"`
		Status   int       `json:"status"`
		Consumer string    `json:"consumer"`
		Auth     string    `json:"auth"`
		Lost     uint64    `json:"lost"`
	}
	if json.Unmarshal([]byte(text), &l) != nil {
		return line{}, false
	}
	if l.Lost > 0 && l.Method == "" {
		return line{lost: l.Lost, when: l.Time}, true
	}
	if l.Method == "" || l.Path == "" {
		return line{}, false
	}
	out := line{method: l.Method, host: l.Host, target: l.Path, when: l.Time, status: l.Status, authenticated: l.Auth != ""}
	if l.Query != "" {
		out.target += "?" + l.Query
	}
	out.masked = strings.ContainsRune(out.target, '…')
	return out, true
}

// parseCombined reads `address - user [time] "METHOD target protocol" status ...`.
func parseCombined(text string) (line, bool) {
	_, rest, ok := strings.Cut(text, " [")
	stamp, rest, ok2 := strings.Cut(rest, `] "`)
	request, rest, ok3 := cutQuoted(rest)
	if !ok || !ok2 || !ok3 {
		return line{}, false
	}
	when, err := time.Parse("02/Jan/2006:15:04:05 -0700", stamp)
	if err != nil {
		return line{}, false
	}
	method, rest2, ok := strings.Cut(unescape(request), " ")
	target, protocol, ok2 := strings.Cut(rest2, " ")
	if !ok || !ok2 || !strings.HasPrefix(protocol, "HTTP/") {
		return line{}, false
	}
	word, _, _ := strings.Cut(strings.TrimPrefix(rest, " "), " ")
	status, err := strconv.Atoi(word)
	if err != nil {
		return line{}, false
	}
	user := strings.Fields(text)
	return line{method: method, target: target, when: when, status: status, authenticated: len(user) > 2 && user[2] != "-"}, true
}

// cutQuoted cuts at the quote that ends a string; one behind a backslash does not.
func cutQuoted(s string) (before, after string, ok bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[:i], s[i+1:], true
		}
	}
	return "", "", false
}

// unescape undoes \xHH, \" and \\, as nginx and Apache write what would end a line or a string.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if s[i] == 'x' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// sendable is a target as it can be sent: what a request line cannot hold is written in percent. It is false when it is no path, or holds
// what the log could not write.
func sendable(target string) (string, bool) {
	if !strings.HasPrefix(target, "/") || len(target) > 8192 || strings.ContainsRune(target, utf8.RuneError) {
		return "", false
	}
	plain := true
	for i := range len(target) {
		plain = plain && target[i] > ' ' && target[i] < 0x7f && target[i] != '#'
	}
	if plain {
		return target, true
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(target) {
		if c := target[i]; c > ' ' && c < 0x7f && c != '#' {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String(), true
}

// isHost says whether a host can be sent.
func isHost(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("-._:[]", rune(c)) {
			return false
		}
	}
	return s != "" && len(s) <= 255
}
