// Package wrk runs the load generator wrk and reads its figures. It serves the bench only.
//
// wrk keeps every connection busy (a closed loop): it shows what a request costs and how many a second go through, but
// its latencies are those of a saturated gateway and say nothing about a quieter one.
package wrk

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Load is one run of wrk with a single thread.
type Load struct {
	URL         string
	Connections int
	Duration    time.Duration // whole seconds or more; wrk counts in seconds
	PostBytes   int           // size of a POST body; 0 sends GET
	Tokens      string        // file of bearer tokens, one a line, sent in turn from the first; empty sends none
	Callers     string        // the same with names for the field X-Caller, in place of tokens
	Origin      string        // sent beside either, empty for none
	Script      string        // further Lua, such as one that makes the requests
	Env         []string      // added to our own environment
}

// Figures are what wrk counted. Errors are sockets that failed, requests that timed out, and answers of 400 and above.
type Figures struct {
	Requests, Errors int64
	Duration         time.Duration
	P50, P99         time.Duration
}

// PerSecond is the rate of answered requests.
func (f Figures) PerSecond() float64 { return float64(f.Requests) / f.Duration.Seconds() }

//go:embed report.lua
var report string

//go:embed turns.lua
var turns string

// Run puts a script into dir, runs wrk in it and waits for its end.
func Run(ctx context.Context, dir string, load Load) (Figures, error) {
	script := report
	if load.PostBytes > 0 {
		script += fmt.Sprintf("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", %d)\n", load.PostBytes)
	}
	switch {
	case load.Tokens != "":
		script += fmt.Sprintf("local file, name, before, origin = %q, \"Authorization\", \"Bearer \", %q\n", load.Tokens, load.Origin) + turns
	case load.Callers != "":
		script += fmt.Sprintf("local file, name, before, origin = %q, \"X-Caller\", \"\", %q\n", load.Callers, load.Origin) + turns
	}
	script += load.Script
	file := filepath.Join(dir, "wrk.lua")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return Figures{}, err
	}
	seconds := max(1, int(load.Duration.Round(time.Second)/time.Second))
	cmd := exec.CommandContext(ctx, "wrk", "-t1", "-c", strconv.Itoa(load.Connections),
		"-d", strconv.Itoa(seconds)+"s", "--timeout", "10s", "-s", file, load.URL)
	cmd.Env = append(os.Environ(), load.Env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return Figures{}, fmt.Errorf("wrk %s: %w\n%s", load.URL, err, out)
	}
	figures, err := parse(out)
	if err != nil {
		return Figures{}, fmt.Errorf("wrk %s: %w\n%s", load.URL, err, out)
	}
	return figures, nil
}

// mark begins the line that report.lua prints.
const mark = "figures: "

func parse(out []byte) (Figures, error) {
	_, line, ok := bytes.Cut(out, []byte(mark))
	if !ok {
		return Figures{}, fmt.Errorf("its output has no line with %q", strings.TrimSpace(mark))
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	values := map[string]int64{}
	for _, word := range strings.Fields(string(line)) {
		name, number, _ := strings.Cut(word, "=")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return Figures{}, fmt.Errorf("found %q, want name=number", word)
		}
		values[name] = n
	}
	f := Figures{
		Requests: values["requests"],
		Errors:   values["errors"],
		Duration: time.Duration(values["duration_us"]) * time.Microsecond,
		P50:      time.Duration(values["p50_us"]) * time.Microsecond,
		P99:      time.Duration(values["p99_us"]) * time.Microsecond,
	}
	if f.Requests == 0 || f.Duration == 0 {
		return Figures{}, fmt.Errorf("no request was answered: %s", line)
	}
	return f, nil
}
