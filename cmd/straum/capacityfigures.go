package main

import (
	"bufio"
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// figures are what the gateway's metrics page says that a capacity is judged by. Counters are since its start.
type figures struct {
	own, upstream buckets
	full          float64 // exchanges that an upstream had no place for
	short         float64 // that found no descriptor
	connections   float64 // open now
	waiting       float64 // exchanges that wait for a connection to an endpoint now
}

// buckets are the counts of a histogram, by upper bound in seconds.
type buckets map[float64]float64

// figuresPage reads the page at an address; host:port or the path of a socket. It is nil where there is none.
type figuresPage struct {
	client http.Client
}

func newFiguresPage(network, address string) *figuresPage {
	return &figuresPage{http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}}}
}

// read is nil when the page cannot be had.
func (p *figuresPage) read(ctx context.Context) *figures {
	if p == nil {
		return nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/metrics", nil)
	if err != nil {
		return nil
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return nil
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil
	}
	return parseFigures(io.LimitReader(answer.Body, 64<<20))
}

// parseFigures reads the text format of Prometheus, as far as the gateway writes it.
func parseFigures(r io.Reader) *figures {
	f := &figures{own: buckets{}, upstream: buckets{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, rest, ok := strings.Cut(lines.Text(), " ")
		if i := strings.LastIndexByte(lines.Text(), '}'); i > 0 {
			name, rest, ok = lines.Text()[:i+1], strings.TrimSpace(lines.Text()[i+1:]), true
		}
		if !ok || !strings.HasPrefix(name, "straum_") {
			continue
		}
		value, err := strconv.ParseFloat(rest, 64)
		if err != nil {
			continue
		}
		switch metric, labels, _ := strings.Cut(name, "{"); metric {
		case "straum_own_duration_seconds_bucket":
			f.own.add(labels, value)
		case "straum_upstream_duration_seconds_bucket":
			f.upstream.add(labels, value)
		case "straum_listener_connections":
			f.connections += value
		case "straum_upstream_queue_length":
			f.waiting += value
		case "straum_faults_total":
			switch label(labels, "kind") {
			case "saturated", "queue_timeout", "overloaded", "too_many_concurrent":
				f.full += value
			case "no_descriptors":
				f.short += value
			}
		}
	}
	return f
}

func (b buckets) add(labels string, n float64) {
	if bound, err := strconv.ParseFloat(label(labels, "le"), 64); err == nil {
		b[bound] += n
	}
}

// label is the value of one of labels, which have no quotes in them where it matters.
func label(labels, name string) string {
	_, rest, ok := strings.Cut(","+labels, ","+name+`="`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// since is what came after earlier.
func (b buckets) since(earlier buckets) buckets {
	out := make(buckets, len(b))
	for bound, n := range b {
		out[bound] = n - earlier[bound]
	}
	return out
}

// quantile is where so large a part of the values lie below, as a line within its bucket; 0 when there are none.
func (b buckets) quantile(q float64) time.Duration {
	var bounds []float64
	for bound := range b {
		bounds = append(bounds, bound)
	}
	slices.Sort(bounds)
	if len(bounds) == 0 || b[bounds[len(bounds)-1]] <= 0 {
		return 0
	}
	want := q * b[bounds[len(bounds)-1]]
	below, from := 0.0, 0.0
	for _, bound := range bounds {
		if b[bound] >= want {
			if math.IsInf(bound, 1) {
				return time.Duration(from * float64(time.Second))
			}
			at := from + (bound-from)*(want-below)/max(b[bound]-below, 1)
			return time.Duration(at * float64(time.Second))
		}
		below, from = b[bound], bound
	}
	return time.Duration(from * float64(time.Second))
}
