package gateway

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
)

// logText collects what the program writes.
type logText struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

// String is all so far.
func (l *logText) String() string { return l.since(0) }

func (l *logText) since(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text[min(n, len(l.text)):])
}

// Log is what the program has written to stdout and stderr so far.
func (g *Gateway) Log() string { return g.log.String() }

// Logged tells whether the log holds a text.
func (g *Gateway) Logged(text string) bool { return strings.Contains(g.log.String(), text) }

// Line is one line of the access log: see docs/log.md.
type Line map[string]any

// Text is a field that is a string; empty when it is absent.
func (l Line) Text(field string) string { s, _ := l[field].(string); return s }

// Number is a field that is a number; 0 when it is absent.
func (l Line) Number(field string) float64 { n, _ := l[field].(float64); return n }

// Access is the access log so far, whole lines only. Lines come up to a second after their exchange: use AwaitAccess.
func (g *Gateway) Access() []Line {
	g.t.Helper()
	text, err := os.ReadFile(g.AccessPath)
	if err != nil {
		return nil // it is made with the first revision
	}
	var lines []Line
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		l := Line{}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			g.t.Errorf("a line of the access log is no JSON: %v: %q", err, line)
			continue
		}
		lines = append(lines, l)
	}
	return lines
}

// AwaitAccess waits for the first line of the access log that is wanted.
func (g *Gateway) AwaitAccess(what string, wanted func(Line) bool) Line {
	g.t.Helper()
	var found Line
	Await(g.t, "a line of the access log: "+what, func() bool {
		for _, l := range g.Access() {
			if wanted(l) {
				found = l
				return true
			}
		}
		return false
	})
	return found
}
