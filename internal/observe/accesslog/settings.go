package accesslog

import "fmt"

// Where lines may go besides a file.
const (
	Stdout = "stdout"
	Stderr = "stderr"
	// Off writes no lines and counts none as lost.
	Off = "off"
)

// Client says how much of the client's address a line tells.
type Client uint8

// The levels of client detail. The zero value is the private one.
const (
	ClientMasked Client = iota // IPv4 cut to /24, IPv6 to /48
	ClientFull
	ClientNone
)

// Query says how much of the query a line tells.
type Query uint8

// The levels of query detail. The zero value is the private one.
const (
	QueryNames Query = iota // names stay, values become …
	QueryFull
	QueryNone
)

// Settings are what a reload may change. The zero value writes to standard output and keeps personal data out.
type Settings struct {
	// To is Stdout, Stderr, Off or the path of a file; empty means Stdout.
	To     string
	Client Client
	Query  Query
	// QueryKeep names the parameters whose values stay readable with QueryNames.
	QueryKeep []string
	// Referer asks for the Referer field. Its query is left out unless Query is QueryFull.
	Referer bool
	// Credential asks for the name of the credential that was shown. It is never the secret, but tells one person's requests from
	// another's where persons share a consumer.
	Credential bool
}

// DefaultBuffer is how many bytes of lines may wait when nothing else is asked for.
const DefaultBuffer = 4 << 20

// MinBuffer is the smallest buffer accepted, in bytes.
const MinBuffer = 256 << 10

// Options are fixed for the life of a Log.
type Options struct {
	Settings Settings
	// Buffer is how many bytes of lines may wait for the disk, over all shards; 0 means DefaultBuffer. Memory is taken as it
	// is first needed and then kept.
	Buffer int
	// Shards is how many locks and open batches there are, best the number of shards connections have; 0 means 1.
	Shards int
}

func (o *Options) complete() error {
	if o.Buffer == 0 {
		o.Buffer = DefaultBuffer
	}
	if o.Buffer < MinBuffer {
		return fmt.Errorf("log buffer: %d bytes is too small; at least %d are needed", o.Buffer, MinBuffer)
	}
	if o.Shards <= 0 {
		o.Shards = 1
	}
	return o.Settings.complete()
}

func (s *Settings) complete() error {
	switch s.To {
	case "", "/dev/stdout":
		s.To = Stdout
	case "/dev/stderr":
		s.To = Stderr
	}
	if s.Client > ClientNone || s.Query > QueryNone {
		return fmt.Errorf("log settings: client detail %d and query detail %d; both go from 0 to 2", s.Client, s.Query)
	}
	return nil
}
