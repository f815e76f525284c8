package metrics

import "time"

// Sources are asked at each scrape for numbers that others keep. A nil one is left out. Each must be safe to call from any
// goroutine at any time, answer from memory, and name nothing twice.
type Sources struct {
	Listeners func() []Listener
	Upstreams func() []Upstream
	Config    func() Config
	Log       func() Log
}

// Count is how often something happened for a reason. Reasons are a fixed, small set of words.
type Count struct {
	Reason string
	N      uint64
}

// Listener are the numbers of one listener.
type Listener struct {
	Name     string // as in Conn.Listener
	Open     int    // connections now
	Parked   int    // of them idle, without a buffer
	Accepted uint64
	Refused  []Count
}

// Upstream are the numbers of one upstream.
type Upstream struct {
	Name      string
	Queue     int    // exchanges that wait for a connection or a place
	Breaker   string // "closed", "open" or "half_open"; empty when it has none
	Endpoints []Endpoint
}

// Endpoint are the numbers of one endpoint.
type Endpoint struct {
	Address string
	Healthy bool // by probes; true when there are none
	Ejected bool // taken out because of its answers
	Active  int  // exchanges under way
	Idle    int  // connections kept open for the next exchange
}

// Config tells which configuration serves.
type Config struct {
	Revision uint64
	Loaded   time.Time // when Revision began to serve
	LastOK   bool      // whether the last attempt to load was accepted
	Failures uint64    // attempts that were not
}

// Log are the numbers of the access log.
type Log struct {
	Written uint64 // lines
	Bytes   uint64
	Waiting uint64 // lines
	Lost    []Count
	// LostMatter is how many of the lost lines told of a fault or a refusal.
	LostMatter uint64
	Failures   uint64 // writes that failed
	Failing    bool
}

// breakerStates are the values of the breaker's state label.
var breakerStates = [...]string{"closed", "half_open", "open"}
