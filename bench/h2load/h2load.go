// Package h2load runs nghttp2's load generator h2load and reads its figures. It serves the bench only.
//
// Like wrk, h2load keeps every stream busy (a closed loop). It prints no percentiles, so there are no latencies.
package h2load

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Load is one run of h2load with a single thread.
type Load struct {
	URL         string
	Connections int
	Streams     int           // at a time, a connection
	Duration    time.Duration // whole seconds or more; h2load counts in seconds
	Suite       string        // the one suite offered for TLS 1.3, by OpenSSL's name
	Group       string        // the one group offered for the key exchange, by OpenSSL's name
}

// Figures are what h2load counted. Errors are requests that failed in any way, answers other than 2xx included.
type Figures struct {
	Requests, Errors int64
	Duration         time.Duration
	// What was agreed on, in OpenSSL's words: the application's protocol, TLS, its suite, its key. Empty in the clear.
	Protocol, TLS, Suite, Key string
}

// PerSecond is the rate of answered requests.
func (f Figures) PerSecond() float64 { return float64(f.Requests) / f.Duration.Seconds() }

// Run runs h2load and waits for its end.
func Run(ctx context.Context, load Load) (Figures, error) {
	seconds := max(1, int(load.Duration.Round(time.Second)/time.Second))
	cmd := exec.CommandContext(ctx, "h2load", "-t1", "-c", strconv.Itoa(load.Connections), "-m", strconv.Itoa(load.Streams),
		"-D", strconv.Itoa(seconds), "--tls13-ciphers="+load.Suite, "--groups="+load.Group, load.URL)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return Figures{}, fmt.Errorf("h2load %s: %w\n%s", load.URL, err, out)
	}
	figures, err := parse(string(out))
	if err != nil {
		return Figures{}, fmt.Errorf("h2load %s: %w\n%s", load.URL, err, out)
	}
	figures.Duration = time.Duration(seconds) * time.Second
	return figures, nil
}

// requests is the line of h2load's output that counts them.
var requests = regexp.MustCompile(`(?m)^requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)

func parse(out string) (Figures, error) {
	counts := requests.FindStringSubmatch(out)
	if counts == nil {
		return Figures{}, fmt.Errorf("its output has no line that counts the requests")
	}
	var n [5]int64
	for i, count := range counts[1:] {
		n[i], _ = strconv.ParseInt(count, 10, 64)
	}
	f := Figures{
		Requests: n[1], Errors: n[2] + n[3] + n[4],
		Protocol: after(out, "Application protocol: "), TLS: after(out, "TLS Protocol: "),
		Suite: after(out, "Cipher: "), Key: after(out, "Server Temp Key: "),
	}
	if f.Requests == 0 {
		return Figures{}, fmt.Errorf("no request was answered: %s", counts[0])
	}
	return f, nil
}

// after is the rest of the first line that begins so.
func after(out, beginning string) string {
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, beginning); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}
