package metrics

import "time"

// Sources are asked at each scrape for numbers that others keep. A nil one is left out. Each must be safe to call from any
// goroutine at any time, answer from memory, and name nothing twice.
type Sources struct {
	Listeners func() []Listener
	Upstreams func() []Upstream
	TLS       func() TLS
	Cache     func() *Cache // what it returns is nil while there is nothing to tell
	Box       func() *Box   // likewise
	Config    func() Config
	Log       func() Log
	// Figures calls yield for each number that policies and what they share keep. Unlike others it may name one several times.
	Figures func(yield func(Figure))
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

	Handshakes       []Count // of TLS, by how they ended; nil for a listener without TLS
	HandshakesNow    int     // under way
	HandshakeCeiling int     // how many may be
	HTTP2            *HTTP2  // nil when the listener does not speak it
}

// HTTP2 are the numbers of a listener's HTTP/2.
type HTTP2 struct {
	Streams        uint64 // opened, also those that were refused
	Refused        uint64
	Malformed      uint64
	ResetsReceived uint64
	ResetsSent     uint64
	GoAways        []Count // connections ended, by the code the client was told
	Guards         []Count // connections ended by a guard, by which
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
	Streams int  // exchanges under way on connections that carry several (HTTP/2)
}

// TLS are the numbers of certificates and of what is around them.
type TLS struct {
	Certificates []Certificate
	Tickets      *Tickets // nil when no listener has spoken TLS
	ACME         *ACME    // nil when no certificate was ever asked for
}

// Certificate are the numbers of one certificate. Several that have Name and Key in common are shown as one: the one that ends
// first, with the worst of the rest.
type Certificate struct {
	Name     string // the first of its names
	Key      string // its kind of key
	Expires  time.Time
	Swaps    uint64 // times a new one was taken from disk
	Refusals uint64 // times a new one was refused
	Problem  bool   // what is on disk now is refused
	Staples  bool   // it has a responder to ask
	Stapled  bool   // its answer is shown
	Alarm    bool   // it is revoked, or demands stapling and has nothing to staple
}

// Tickets are the numbers of the keys of session tickets.
type Tickets struct {
	Rotated time.Time
	Problem bool // they will not outlive the process
}

// ACME are the numbers of certificates that are asked for.
type ACME struct {
	Names      []Count // by how things stand with them
	Orders     []Count // by what became of them
	Revoked    uint64  // certificates found revoked
	Challenges []Count // questions of the authority that were answered, by kind
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
