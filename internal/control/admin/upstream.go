package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/breaker"
	"straum.dev/straum/internal/edge/upstream"
)

// UpstreamList are all upstreams.
type UpstreamList struct {
	Upstreams []Upstream `json:"upstreams" nullable:"false" doc:"By name."`
}

// Upstream are the figures of one upstream.
type Upstream struct {
	Name        string     `json:"name"`
	Balance     string     `json:"balance" doc:"How an endpoint is chosen."`
	Usable      int        `json:"usable_endpoints" doc:"Neither unhealthy nor ejected."`
	RetryBudget float64    `json:"retry_budget" doc:"Retries that could be made now."`
	Breaker     *Breaker   `json:"breaker,omitempty" doc:"Absent when it has none."`
	Pool        Pool       `json:"pool" doc:"Over the endpoints there are now."`
	Endpoints   []Endpoint `json:"endpoints" nullable:"false"`
}

// Breaker is where a breaker stands.
type Breaker struct {
	State       string  `json:"state" enum:"closed,open,half_open,forced_open,forced_closed" doc:"forced_ ones were ordered, and stay until auto is."`
	For         float64 `json:"for_seconds" doc:"How long it has been so."`
	RetryIn     float64 `json:"retry_in_seconds,omitempty" doc:"When open: until the upstream is tried again."`
	Active      int64   `json:"active" doc:"Requests under way."`
	Consecutive int64   `json:"consecutive_failures"`
	Window      Window  `json:"window" doc:"What the ratios are judged by; zeros when none is set."`
	Trips       int     `json:"trips" doc:"Times in a row it opened."`
	Probing     int     `json:"probing" doc:"Half-open: probes on their way."`
	Successes   int     `json:"successes" doc:"Half-open: probes that succeeded."`
}

// Window counts the requests of the last seconds.
type Window struct {
	Calls  int `json:"calls"`
	Errors int `json:"errors"`
	Slow   int `json:"slow"`
}

// Endpoint are the figures of one endpoint.
type Endpoint struct {
	Address  string  `json:"address"`
	Name     string  `json:"name,omitempty" doc:"As configured, where that differs."`
	Usable   bool    `json:"usable" doc:"Requests go there."`
	Health   string  `json:"health" enum:"unknown,healthy,unhealthy" doc:"By active checks; unknown when there are none."`
	Detail   string  `json:"detail,omitempty" doc:"Of the last active check."`
	Ejected  bool    `json:"ejected" doc:"Set aside because its answers to real requests failed."`
	Active   int64   `json:"active" doc:"Requests under way."`
	Latency  float64 `json:"latency_seconds" doc:"Smoothed, to the head of an answer."`
	Answered uint64  `json:"answered" doc:"Tries that got an answer."`
	Failed   uint64  `json:"failed" doc:"Tries that got none."`
	Pool     Pool    `json:"pool"`
}

// Pool are the figures of the connections to one endpoint, or to all of an upstream.
type Pool struct {
	Open       int64    `json:"open" doc:"Connections now."`
	Idle       int      `json:"idle" doc:"Of them kept for the next exchange."`
	Streams    int      `json:"streams" doc:"Exchanges under way on connections that carry several (HTTP/2)."`
	Waiting    int64    `json:"waiting" doc:"Exchanges that wait for one."`
	Reused     uint64   `json:"reused" doc:"Times a connection was used again."`
	Opened     uint64   `json:"opened" doc:"Times one had to be opened."`
	ReuseShare float64  `json:"reuse_share" doc:"Reused of both, 0 to 1."`
	OpenedBy   []Opened `json:"opened_by" nullable:"false" doc:"Why they had to be opened, the most frequent first."`
}

// Opened counts openings of connections for one reason.
type Opened struct {
	Reason  string `json:"reason"`
	Count   uint64 `json:"count"`
	Meaning string `json:"meaning" doc:"The reason in words."`
}

func (a *Admin) getUpstreams(context.Context, *struct{}) (*struct{ Body UpstreamList }, error) {
	list := UpstreamList{Upstreams: []Upstream{}}
	for _, s := range a.sources.Upstreams.Stats() {
		list.Upstreams = append(list.Upstreams, a.upstream(s))
	}
	return &struct{ Body UpstreamList }{list}, nil
}

type upstreamName struct {
	Name string `path:"name" maxLength:"64" example:"orders" doc:"Of the upstream."`
}

func (a *Admin) getUpstream(_ context.Context, in *upstreamName) (*struct{ Body Upstream }, error) {
	s, err := a.find(in.Name)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Upstream }{a.upstream(s)}, nil
}

type breakerOrder struct {
	Name string `path:"name" maxLength:"64" example:"orders" doc:"Of the upstream."`
	Body struct {
		_     struct{} `additionalProperties:"false"`
		State string   `json:"state" enum:"open,closed,auto" doc:"open refuses all requests, closed lets all pass, auto lets the breaker decide, beginning closed."`
	}
}

func (a *Admin) setBreaker(_ context.Context, in *breakerOrder) (*struct{ Body Breaker }, error) {
	if _, err := a.find(in.Name); err != nil {
		return nil, err
	}
	var done bool
	switch in.Body.State {
	case "open":
		done = a.sources.Upstreams.Force(in.Name, breaker.ForcedOpen)
	case "closed":
		done = a.sources.Upstreams.Force(in.Name, breaker.ForcedClosed)
	default:
		done = a.sources.Upstreams.ReleaseBreaker(in.Name)
	}
	s, err := a.find(in.Name)
	if err != nil {
		return nil, err // a reload took it away just now
	}
	if !done || s.Breaker == nil {
		return nil, newProblem(http.StatusConflict, fmt.Sprintf("the upstream %s has no breaker; give it one in the configuration: breaker: {}", in.Name))
	}
	a.sources.Log.Info("breaker set through the admin API", "upstream", in.Name, "order", in.Body.State)
	return &struct{ Body Breaker }{*showBreaker(*s.Breaker, a.now())}, nil
}

func (a *Admin) find(name string) (upstream.Stats, error) {
	var names []string
	for _, s := range a.sources.Upstreams.Stats() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	detail := fmt.Sprintf("there is no upstream %q", name)
	if near := document.Suggest(name, names); near != "" {
		detail += fmt.Sprintf("; did you mean %q?", near)
	} else if len(names) > 0 {
		const shown = 10
		detail += "; there are " + strings.Join(names[:min(len(names), shown)], ", ")
		if len(names) > shown {
			detail += fmt.Sprintf(" and %d more", len(names)-shown)
		}
	}
	return upstream.Stats{}, newProblem(http.StatusNotFound, detail)
}

func (a *Admin) upstream(s upstream.Stats) Upstream {
	u := Upstream{Name: s.Name, Balance: s.Balance, RetryBudget: s.Budget, Endpoints: []Endpoint{}}
	if s.Breaker != nil {
		u.Breaker = showBreaker(*s.Breaker, a.now())
	}
	opened := map[string]uint64{}
	for _, e := range s.Endpoints {
		shown := endpoint(e)
		u.Endpoints = append(u.Endpoints, shown)
		if e.Usable {
			u.Usable++
		}
		u.Pool.Open += shown.Pool.Open
		u.Pool.Idle += shown.Pool.Idle
		u.Pool.Streams += shown.Pool.Streams
		u.Pool.Waiting += shown.Pool.Waiting
		u.Pool.Reused += shown.Pool.Reused
		for reason, n := range e.Opened {
			opened[reason] += n
		}
	}
	u.Pool.audit(opened)
	return u
}

func showBreaker(s breaker.Snapshot, now int64) *Breaker {
	b := &Breaker{
		State: s.State.String(), For: seconds(now - s.Since), Active: s.Active, Consecutive: s.Consecutive,
		Window: Window{Calls: s.Window.Calls, Errors: s.Window.Errors, Slow: s.Window.Slow},
		Trips:  s.Trips, Probing: s.Probing, Successes: s.Successes,
	}
	if s.Until > 0 {
		b.RetryIn = seconds(s.Until - now)
	}
	return b
}

// seconds turns nanoseconds into seconds, and what lies before now into 0: the clock went on while figures were collected.
func seconds(ns int64) float64 { return float64(max(ns, 0)) / 1e9 }

func endpoint(s upstream.EndpointStats) Endpoint {
	e := Endpoint{
		Address: s.Address, Usable: s.Usable, Health: s.Health, Detail: s.Detail, Ejected: s.Ejected, Active: s.Active,
		Latency: s.Latency, Answered: s.Answered, Failed: s.Failed,
		Pool: Pool{Open: s.Open, Idle: s.Idle, Streams: s.Streams, Waiting: s.Waiting, Reused: s.Reused},
	}
	if s.Name != s.Address {
		e.Name = s.Name
	}
	e.Pool.audit(s.Opened)
	return e
}

// audit tells why connections were not reused.
func (p *Pool) audit(opened map[string]uint64) {
	p.OpenedBy = []Opened{}
	for reason, n := range opened {
		p.Opened += n
		p.OpenedBy = append(p.OpenedBy, Opened{Reason: reason, Count: n, Meaning: meanings[reason]})
	}
	slices.SortFunc(p.OpenedBy, func(a, b Opened) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Reason, b.Reason))
	})
	if all := p.Reused + p.Opened; all > 0 {
		p.ReuseShare = float64(p.Reused) / float64(all)
	}
}

// meanings says what an operator can do with each reason.
var meanings = map[string]string{
	upstream.Cold.String():        "there was none yet",
	upstream.Busy.String():        "all were in use",
	upstream.IdleClosed.String():  "the endpoint closed an idle one: keep pool.idle_timeout below its keep-alive time",
	upstream.IdleTimeout.String(): "an idle one was not needed for pool.idle_timeout",
	upstream.IdleFull.String():    "pool.idle were idle already: raise it",
	upstream.Stale.String():       "the endpoint closed one just when it was used: keep pool.idle_timeout below its keep-alive time",
	upstream.Closes.String():      "the endpoint asks to close with Connection: close: turn on its keep-alive",
	upstream.NoLength.String():    "the endpoint ends answers by closing: let it send Content-Length or chunks",
	upstream.Broken.String():      "an error broke one",
	upstream.Early.String():       "the endpoint answered before it had read the request",
	upstream.NotRead.String():     "an answer was not read to its end, mostly because the client left",
	upstream.Surplus.String():     "the endpoint sent more than its answer",
	upstream.Changed.String():     "a reload changed the upstream's tls or protocol",
	upstream.Tunnelled.String():   "it became a tunnel, such as a WebSocket",
}
