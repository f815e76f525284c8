package report

import (
	"encoding/json"
	"io"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Document is the report as JSON. Fields are added and never change their meaning; times are in milliseconds unless their name says
// otherwise. A value that is not known is null.
type Document struct {
	Format  int           `json:"format" doc:"1: the form described here."`
	Version string        `json:"version" doc:"The version of straum."`
	Target  string        `json:"target" doc:"The URL that was asked for."`
	To      string        `json:"to,omitempty" doc:"Where it was connected to, when that is elsewhere."`
	Notes   []string      `json:"notes" doc:"What has to be known about the mix."`
	Runs    []DocumentRun `json:"runs" doc:"The runs, in their order."`
}

// DocumentRun is one run.
type DocumentRun struct {
	Started     time.Time         `json:"started" doc:"When the counted time began."`
	Loop        string            `json:"loop" doc:"open or closed."`
	Protocol    string            `json:"protocol" doc:"http/1.1 or h2."`
	TLS         bool              `json:"tls" doc:"Whether it was spoken over TLS."`
	KeepAlive   bool              `json:"keep_alive" doc:"Whether connections were used again."`
	Connections int               `json:"connections" doc:"That could be open at once."`
	Streams     int               `json:"streams" doc:"Requests at a time on a connection."`
	Seconds     float64           `json:"seconds" doc:"The counted time."`
	Warmup      float64           `json:"warmup_seconds" doc:"The time before it."`
	Cut         bool              `json:"cut" doc:"Whether it was ended before its time."`
	Wanted      *float64          `json:"rate_wanted" doc:"Requests a second; null for a closed loop."`
	Rate        float64           `json:"rate" doc:"Answers a second, without those of a queue that came after the counted time."`
	Due         uint64            `json:"due" doc:"Requests that should have been sent."`
	Done        uint64            `json:"done" doc:"Requests that were answered whole, whatever the status and however late."`
	Answered    uint64            `json:"answered" doc:"Answers that came in the counted time, also to requests that were due before it."`
	Late        uint64            `json:"late" doc:"Requests that could not be sent within the timeout for want of a free connection."`
	Faulty      float64           `json:"faulty_share" doc:"The part of the requests that got no whole answer or a status of 500 and above, 0 to 1; what --max-errors bounds."`
	Statuses    map[int]uint64    `json:"statuses" doc:"How often each status came."`
	Errors      map[string]uint64 `json:"errors" doc:"Why others were not answered: connect, tls, timeout, broken, malformed."`
	Sent        uint64            `json:"bytes_sent" doc:"Bytes sent."`
	Received    uint64            `json:"bytes_received" doc:"Bytes received."`
	Opened      uint64            `json:"connections_opened" doc:"Connections that were opened."`
	Latency     Times             `json:"latency_ms" doc:"From when a request was due (open loop) or sent (closed loop) to the end of its answer."`
	Service     Times             `json:"service_ms" doc:"From when it was sent."`
	Generator   DocumentGenerator `json:"generator" doc:"What the measuring itself took."`
	Kinds       []DocumentKind    `json:"kinds" doc:"Kinds of requests, the most frequent first."`
	Series      []DocumentSecond  `json:"series" doc:"One a second."`
	Remarks     []string          `json:"remarks" doc:"What a reader of the numbers has to know, in words."`
}

// Times are percentiles in milliseconds. One that too few answers tell is null.
type Times struct {
	Min  *float64 `json:"min" doc:"The shortest."`
	Mean *float64 `json:"mean" doc:"The mean, which says little without the others."`
	P50  *float64 `json:"p50" doc:"Half took at most this."`
	P75  *float64 `json:"p75" doc:"75 %."`
	P90  *float64 `json:"p90" doc:"90 %."`
	P95  *float64 `json:"p95" doc:"95 %."`
	P99  *float64 `json:"p99" doc:"99 %; null below 100 answers."`
	P999 *float64 `json:"p99_9" doc:"99.9 %; null below 1,000 answers."`
	Four *float64 `json:"p99_99" doc:"99.99 %; null below 10,000 answers."`
	Max  *float64 `json:"max" doc:"The longest."`
}

// DocumentGenerator is what the measuring itself took.
type DocumentGenerator struct {
	CPU  float64  `json:"cpu_seconds" doc:"Processor time in the counted time."`
	P50  *float64 `json:"lag_p50_ms" doc:"Open loop: from when a request was due and a connection free until it was sent, the median."`
	P99  *float64 `json:"lag_p99_ms" doc:"The same, p99."`
	Most *float64 `json:"lag_max_ms" doc:"The same, the longest."`
}

// DocumentKind is one kind of request.
type DocumentKind struct {
	Name    string `json:"name" doc:"Its name."`
	Done    uint64 `json:"done" doc:"Answered whole."`
	Failed  uint64 `json:"failed" doc:"Not."`
	Latency Times  `json:"latency_ms" doc:"As above."`
}

// DocumentSecond is one second.
type DocumentSecond struct {
	At     float64 `json:"at_seconds" doc:"When it began, in the counted time."`
	Done   uint64  `json:"done" doc:"Answered in it."`
	Failed uint64  `json:"failed" doc:"Given up in it."`
	P50    float64 `json:"p50_ms" doc:"The median of those answered in it."`
	P99    float64 `json:"p99_ms" doc:"Their p99."`
	Max    float64 `json:"max_ms" doc:"The longest of them."`
}

// JSON writes it, indented, with a line feed at the end.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r.Document())
}

// Document is the report in the form of its JSON.
func (r *Report) Document() *Document {
	d := &Document{Format: 1, Version: r.Version, Target: r.Target, To: r.To, Notes: append([]string{}, r.Notes...), Runs: []DocumentRun{}}
	for i := range r.Runs {
		d.Runs = append(d.Runs, r.Runs[i].document(r.Processors))
	}
	return d
}

func (r *Run) document(processors int) DocumentRun {
	p, x := r.Plan, r.Result
	d := DocumentRun{Started: x.Started.UTC(), Loop: "closed", Protocol: "http/1.1", TLS: p.TLS != nil, KeepAlive: !p.NoKeepAlive, Connections: p.Connections, Streams: 1,
		Seconds: round(x.Elapsed.Seconds()), Warmup: p.Warmup.Seconds(), Cut: r.Cut, Rate: round(r.Rate()), Due: x.Due, Done: x.Done, Answered: x.Answered, Late: x.Late, Faulty: r.FaultyShare(),
		Statuses: map[int]uint64{}, Errors: map[string]uint64{}, Sent: x.Sent, Received: x.Received, Opened: x.Opened, Latency: times(x.Latency), Service: times(x.Service),
		Kinds: []DocumentKind{}, Series: []DocumentSecond{}, Remarks: append([]string{}, r.remarks(processors)...)}
	if r.open() {
		d.Loop, d.Wanted = "open", &p.Rate
	}
	if p.HTTP2 {
		d.Protocol, d.Streams = "h2", max(p.Streams, 1)
	}
	for s, n := range x.Statuses {
		d.Statuses[s] = n
	}
	for f, n := range x.Errors {
		if n > 0 {
			d.Errors[string(f)] = n
		}
	}
	d.Generator = DocumentGenerator{CPU: round(x.CPU.Seconds()), P50: some(at(x.Lag, 50)), P99: some(at(x.Lag, 99)), Most: some(longest(x.Lag))}
	for _, name := range r.names() {
		k := x.Kinds[name]
		d.Kinds = append(d.Kinds, DocumentKind{Name: name, Done: k.Done, Failed: k.Failed, Latency: times(k.Latency)})
	}
	for _, s := range x.Series {
		d.Series = append(d.Series, DocumentSecond{At: round(s.At.Seconds()), Done: s.Done, Failed: s.Failed, P50: ms(s.P50), P99: ms(s.P99), Max: ms(s.Max)})
	}
	return d
}

func times(h *hdrhistogram.Histogram) Times {
	if h == nil || h.TotalCount() == 0 {
		return Times{}
	}
	low, mean := float64(h.Min())/1e3, round(h.Mean()/1e3)
	return Times{Min: &low, Mean: &mean, P50: some(at(h, 50)), P75: some(at(h, 75)), P90: some(at(h, 90)), P95: some(at(h, 95)), P99: some(at(h, 99)),
		P999: some(at(h, 99.9)), Four: some(at(h, 99.99)), Max: some(longest(h))}
}

// some is a time in milliseconds, or null.
func some(d time.Duration, known bool) *float64 {
	if !known {
		return nil
	}
	v := ms(d)
	return &v
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// round leaves six digits behind the point: more are noise.
func round(x float64) float64 { return math.Round(x*1e6) / 1e6 }
