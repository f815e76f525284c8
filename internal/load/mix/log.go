package mix

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"straum.dev/straum/internal/load"
	"straum.dev/straum/internal/wording"
)

// Bounds of what is remembered while a log is read. When there is no room, the rarer half of the paths is forgotten.
const (
	mostPaths = 100_000
	mostBytes = 32 << 20
	mostKinds = 200 // told by a name of their own
)

// LogOptions are what is not in a log.
type LogOptions struct {
	Host   string       // of requests whose line has none
	Fields []load.Field // of all requests: a log has none
}

// Log reads a mix from an access log: requests that change nothing (GET, HEAD, OPTIONS), each as often as it was asked for. Notes tell what
// was left out. The error is the reader's, or that nothing can be sent.
func Log(r io.Reader, o LogOptions) (*Mix, error) {
	g := gathering{options: o, counts: map[path]uint64{}}
	lines := bufio.NewReaderSize(r, MaxLine)
	for {
		text, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			g.unreadable++
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = lines.ReadSlice('\n')
			}
			text = nil
		}
		if len(text) > 1 {
			g.add(string(text))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return g.mix()
}

// path is what is asked for.
type path struct{ method, host, target string }

// gathering is a log while it is read.
type gathering struct {
	options LogOptions
	counts  map[path]uint64
	bytes   int
	pace    pace

	requests                                       uint64 // lines of requests
	unreadable, lost, changing, masked, unsendable uint64
	tunnels, authenticated, rare                   uint64
}

func (g *gathering) add(text string) {
	l, ok := parse(text)
	switch {
	case !ok:
		g.unreadable++
		return
	case l.lost > 0:
		g.lost += l.lost
		return
	}
	g.requests++
	g.pace.add(l.when)
	if l.method != "GET" && l.method != "HEAD" && l.method != "OPTIONS" {
		g.changing++
		return
	}
	if l.status == 101 {
		g.tunnels++
		return
	}
	if l.masked {
		g.masked++
		return
	}
	target, ok := sendable(l.target)
	if ok = ok || l.method == "OPTIONS" && l.target == "*"; !ok || l.host != "" && !isHost(l.host) {
		g.unsendable++
		return
	}
	if target == "" {
		target = "*"
	}
	if l.authenticated {
		g.authenticated++
	}
	p := path{l.method, l.host, target}
	if g.counts[p]++; g.counts[p] == 1 {
		g.bytes += len(l.host) + len(target)
		if len(g.counts) > mostPaths || g.bytes > mostBytes {
			g.forget(len(g.counts) / 2)
		}
	}
}

// forget keeps so many paths, those asked for most often.
func (g *gathering) forget(keep int) {
	for _, p := range g.ranked()[keep:] {
		g.rare += g.counts[p]
		g.bytes -= len(p.host) + len(p.target)
		delete(g.counts, p)
	}
}

// ranked are the paths, the most frequent first, in an order that depends on nothing else than the log.
func (g *gathering) ranked() []path {
	return slices.SortedFunc(maps.Keys(g.counts), func(a, b path) int {
		return cmp.Or(cmp.Compare(g.counts[b], g.counts[a]), cmp.Compare(a.target, b.target), cmp.Compare(a.method, b.method), cmp.Compare(a.host, b.host))
	})
}

// mix is what came of the log.
func (g *gathering) mix() (*Mix, error) {
	if len(g.counts) > MaxPaths {
		g.forget(MaxPaths)
	}
	m := &Mix{}
	m.Mean, m.Busiest = g.pace.rates()
	ranked := g.ranked()
	kinds := g.kinds(ranked)
	var taken uint64
	for _, p := range ranked {
		taken += g.counts[p]
		q := load.Request{Name: kindOf(p.method, p.target), Method: p.method, Host: p.host, Target: p.target, Fields: g.options.Fields, Weight: float64(g.counts[p])}
		if q.Host == "" {
			q.Host = g.options.Host
		}
		if !kinds[q.Name] {
			q.Name = "others"
		}
		m.Requests = append(m.Requests, q)
	}
	m.Notes = g.notes(taken)
	if taken == 0 {
		return nil, errors.New(g.nothing())
	}
	return m, nil
}

// kinds are those that have a name of their own: the most frequent.
func (g *gathering) kinds(ranked []path) map[string]bool {
	counts := map[string]uint64{}
	for _, p := range ranked {
		counts[kindOf(p.method, p.target)] += g.counts[p]
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	told := map[string]bool{}
	for _, name := range names[:min(len(names), mostKinds)] {
		told[name] = true
	}
	return told
}

// notes tell what was taken, and what was not.
func (g *gathering) notes(taken uint64) []string {
	out := []string{fmt.Sprintf("taken from the log: %s of %s, to %s", wording.Grouped(taken), wording.Count(g.requests, "request"), wording.Count(uint64(len(g.counts)), "path"))}
	if mean, busiest := g.pace.rates(); mean > 0 {
		out = append(out, fmt.Sprintf("in the log they came at %s/s on average and %s/s in the busiest second (--rate log, --rate log-peak)", short(mean), short(busiest)))
	}
	left := func(n uint64, one, several string) {
		if n == 1 {
			out = append(out, "1 "+one)
		} else if n > 1 {
			out = append(out, wording.Grouped(n)+" "+several)
		}
	}
	left(g.changing, "request that may change something was left out; --mix sends such ones", "requests that may change something were left out; --mix sends such ones")
	left(g.masked, "request was left out, since the log masked its query or cut its path (log.access.query: full keeps it)",
		"requests were left out, since the log masked their queries or cut their paths (log.access.query: full keeps them)")
	left(g.tunnels, "request that became a tunnel was left out", "requests that became tunnels were left out")
	left(g.unsendable, "request was left out, since its path or host cannot be sent", "requests were left out, since their paths or hosts cannot be sent")
	left(g.rare, "request to a path that is asked for more rarely than the most frequent was left out",
		"requests to paths that are asked for more rarely than the "+wording.Grouped(MaxPaths)+" most frequent were left out")
	left(g.authenticated, "request showed a credential, which no log has; give one by -H", "requests showed credentials, which no log has; give one by -H")
	left(g.unreadable, "line is neither the gateway's own log nor nginx's combined form", "lines are neither the gateway's own log nor nginx's combined form")
	left(g.lost, "line is missing in the log, as it says itself", "lines are missing in the log, as it says itself")
	return out
}

// nothing says why nothing can be sent.
func (g *gathering) nothing() string {
	switch {
	case g.requests == 0 && g.unreadable == 0:
		return "the log is empty"
	case g.requests == 0:
		return fmt.Sprintf("of %s none is one of the gateway's own log or nginx's combined form", wording.Count(g.unreadable, "line"))
	case g.masked > 0:
		return fmt.Sprintf("of %s in the log none can be sent: their queries are masked, or they may change something; use --mix, or a log with log.access.query: full", wording.Count(g.requests, "request"))
	}
	return fmt.Sprintf("of %s in the log none can be sent: they may change something, or have no path; use --mix", wording.Count(g.requests, "request"))
}

// pace counts how many requests ended in each second. Lines may be out of order by two minutes; older ones do not count for the busiest.
type pace struct {
	first, last time.Time
	timed       uint64
	slots       [128]struct {
		second int64
		n      uint64
	}
	most uint64
}

func (p *pace) add(when time.Time) {
	if when.IsZero() {
		return
	}
	if p.timed == 0 || when.Before(p.first) {
		p.first = when
	}
	if p.timed == 0 || when.After(p.last) {
		p.last = when
	}
	p.timed++
	second := when.Unix()
	slot := &p.slots[uint64(second)%uint64(len(p.slots))]
	if second < slot.second {
		return
	}
	if second > slot.second {
		slot.second, slot.n = second, 0
	}
	slot.n++
	p.most = max(p.most, slot.n)
}

// rates are requests a second: on average from the first line to the last, and in the busiest second.
func (p *pace) rates() (mean, busiest float64) {
	if p.timed == 0 {
		return 0, 0
	}
	return float64(p.timed) / max(p.last.Sub(p.first).Seconds(), 1), float64(p.most)
}

func short(x float64) string {
	if x >= 100 {
		return wording.Grouped(uint64(x + 0.5))
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}
