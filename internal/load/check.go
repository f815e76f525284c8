package load

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// What a plan may ask for. The bounds keep a run's memory known beforehand: a connection takes about a kilobyte here (with TLS some 20), a
// name of a kind two histograms, a second of the series 56 bytes.
const (
	longest         = 24 * time.Hour // warm-up and counted time together
	mostConnections = 100_000
	mostStreams     = 1000
	mostRequests    = 10_000
	mostKinds       = 1000
	mostWorkers     = 64
	mostRate        = 10_000_000 // requests a second
	defaultTimeout  = 10 * time.Second
	longestTimeout  = time.Minute // what the histograms can hold
)

// Check says why a plan cannot be run, without running it.
func (p *Plan) Check() error {
	switch {
	case p.Address == "":
		return fmt.Errorf("no address to connect to; give host:port or unix:/path")
	case len(p.Requests) == 0:
		return fmt.Errorf("no requests to send; give at least one")
	case len(p.Requests) > mostRequests:
		return fmt.Errorf("found %d requests, at most %d can be chosen from", len(p.Requests), mostRequests)
	case p.Connections < 1 || p.Connections > mostConnections:
		return fmt.Errorf("found %d connections, want 1 to %d", p.Connections, mostConnections)
	case p.Streams < 0 || p.Streams > mostStreams:
		return fmt.Errorf("found %d streams a connection, want 1 to %d", p.Streams, mostStreams)
	case p.Streams > 1 && !p.HTTP2:
		return fmt.Errorf("found %d streams a connection with HTTP/1.1, which has one; use HTTP/2 or more connections", p.Streams)
	case math.IsNaN(p.Rate) || p.Rate < 0 || p.Rate > mostRate:
		return fmt.Errorf("found a rate of %g a second, want 0 (a closed loop) to %d", p.Rate, mostRate)
	case p.Workers < 0 || p.Workers > mostWorkers:
		return fmt.Errorf("found %d workers, want 0 (half of the processors) to %d", p.Workers, mostWorkers)
	case p.Warmup < 0 || p.Duration < 0 || p.Warmup > longest || p.Duration > longest-p.Warmup:
		return fmt.Errorf("found a warm-up of %s and a duration of %s, at most %s together are kept", p.Warmup, p.Duration, longest)
	case p.Duration == 0 && p.Requested == 0:
		return fmt.Errorf("neither a duration nor a number of requests; a run needs an end")
	case p.Timeout < 0 || p.Timeout > longestTimeout:
		return fmt.Errorf("found a timeout of %s, want up to %s", p.Timeout, longestTimeout)
	}
	kinds := map[string]bool{}
	for i := range p.Requests {
		if err := p.Requests[i].check(); err != nil {
			return fmt.Errorf("request %d (%q): %w", i+1, p.Requests[i].Name, err)
		}
		kinds[p.Requests[i].Name] = true
	}
	if len(kinds) > mostKinds {
		return fmt.Errorf("found %d names of requests, at most %d are told apart; give several requests one name", len(kinds), mostKinds)
	}
	return nil
}

// ours are the fields that frame messages: the engine writes them.
var ours = []string{"host", "connection", "content-length", "transfer-encoding", "keep-alive", "proxy-connection", "upgrade", "te"}

func (r *Request) check() error {
	switch {
	case !httpguts.ValidHeaderFieldName(r.Method): // a method is a token too
		return fmt.Errorf("found method %q, want a token such as GET", r.Method)
	case r.Method == "CONNECT":
		return fmt.Errorf("found method CONNECT, which opens a tunnel; use another")
	case r.Host == "" || !visible(r.Host):
		return fmt.Errorf("found host %q, want a name or address, with its port where it is not the scheme's own", r.Host)
	case !strings.HasPrefix(r.Target, "/") && (r.Target != "*" || r.Method != "OPTIONS") || !visible(r.Target):
		return fmt.Errorf("found target %q, want a path (and query) that begins with a slash, without spaces", r.Target)
	case !(r.Weight > 0) || math.IsInf(r.Weight, 0):
		return fmt.Errorf("found a weight of %s, want more than 0", strconv.FormatFloat(r.Weight, 'g', -1, 64))
	}
	for _, f := range r.Fields {
		if !httpguts.ValidHeaderFieldName(f.Name) {
			return fmt.Errorf("found a field named %q, want a token", f.Name)
		}
		if !httpguts.ValidHeaderFieldValue(f.Value) {
			return fmt.Errorf("the value of the field %s has control characters", f.Name) // not shown: it may be a credential
		}
		for _, name := range ours {
			if strings.EqualFold(name, f.Name) {
				return fmt.Errorf("found the field %s, which load writes itself; leave it out", f.Name)
			}
		}
	}
	return nil
}

// visible tells whether s is printable ASCII without spaces, or bytes above it.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// filled is the plan with what zero values stand for.
func (p *Plan) filled(processors int) *Plan {
	q := *p
	if q.Timeout == 0 {
		q.Timeout = defaultTimeout
	}
	if q.Duration == 0 {
		q.Duration = longest - q.Warmup
	}
	if q.Streams == 0 || q.NoKeepAlive || !q.HTTP2 {
		q.Streams = 1
	}
	if q.Workers == 0 {
		q.Workers = max(1, processors/2)
	}
	q.Workers = min(q.Workers, q.Connections)
	return &q
}
