package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// page asks the metrics page over a connection of its own, so that a test leaves none behind.
func (g *Gateway) page(path string) (int, string, error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + g.Status + path)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return r.StatusCode, string(body), err
}

// Ready tells whether /readyz says so.
func (g *Gateway) Ready() bool {
	code, _, err := g.page("/readyz")
	return err == nil && code == http.StatusOK
}

// Readyz is the status of /readyz; 0 when there is no answer.
func (g *Gateway) Readyz() int {
	code, _, _ := g.page("/readyz")
	return code
}

// Numbers are the metrics at one moment: the series as it is written, labels included, and its value.
type Numbers map[string]float64

// Numbers reads the metrics. Without an answer it is an error of the test and empty.
func (g *Gateway) Numbers() Numbers {
	g.t.Helper()
	code, text, err := g.page("/metrics")
	if err != nil || code != http.StatusOK {
		g.t.Errorf("/metrics: %d %v", code, err)
		return nil
	}
	n := Numbers{}
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		line := s.Text()
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			n[line[:i]], _ = strconv.ParseFloat(line[i+1:], 64)
		}
	}
	return n
}

// Sum adds up the series of a metric that have all the labels, each as it is written: name="value".
func (n Numbers) Sum(metric string, labels ...string) float64 {
	var sum float64
next:
	for series, value := range n {
		name, rest, _ := strings.Cut(series, "{")
		if name != metric {
			continue
		}
		for _, l := range labels {
			if !strings.Contains("{,"+rest, l) {
				continue next
			}
		}
		sum += value
	}
	return sum
}

// Number is Sum of the metrics now.
func (g *Gateway) Number(metric string, labels ...string) float64 {
	g.t.Helper()
	return g.Numbers().Sum(metric, labels...)
}

// Goroutines is how many goroutines it has.
func (g *Gateway) Goroutines() int { g.t.Helper(); return int(g.Number("go_goroutines")) }

// Descriptors is how many descriptors it has open.
func (g *Gateway) Descriptors() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.Pid()))
	if err != nil {
		return -1
	}
	return len(entries)
}

// Memory is its resident memory in bytes, now and at most so far.
func (g *Gateway) Memory() (now, most int64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.Pid())) // zero tells
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			now = kib << 10
		case "VmHWM:":
			most = kib << 10
		}
	}
	return now, most
}

// CPU is the processor time it has used.
func (g *Gateway) CPU() time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.Pid())) // zero tells
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * time.Second / 100 // USER_HZ is 100 on every Linux that Go runs on
}
