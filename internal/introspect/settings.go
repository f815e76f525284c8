package introspect

import (
	"net/url"
	"time"
)

// Auth is how we show the server who we are.
type Auth string

// The ways. RFC 7662 §2.1 asks for one; None is for a server that only this box can reach.
const (
	Basic  Auth = "basic"  // client_secret_basic (RFC 6749 §2.3.1)
	Post   Auth = "post"   // client_secret_post
	Bearer Auth = "bearer" // a token of our own
	None   Auth = "none"
)

// Settings are those of a Source. The zero value of a field is its default; URL has none.
type Settings struct {
	URL                    *url.URL
	Auth                   Auth // Basic
	ClientID, ClientSecret string
	Token                  string        // for Bearer
	Hint                   string        // token_type_hint; empty sends none
	TTL                    time.Duration // of a good answer, 60 s; a token that ends sooner is remembered until then
	InactiveTTL            time.Duration // of a bad one, 5 s
	Timeout                time.Duration // of one question, 2 s
	ServeStale             time.Duration // how long after TTL a good answer may do when the server fails; 0 is not at all
	Bytes                  uint64        // of good answers in memory, 32 MiB
	Inactive               int           // bad ones in memory, 65,536
	Questions              int           // under way at a time, 256
	FloodBurst             int           // bad tokens of one address (IPv6: one /64) at once, 20; -1 is no limit
	FloodRate              float64       // and a second after that, 5
}

func (s Settings) filled() Settings {
	if s.Auth == "" {
		s.Auth = Basic
	}
	if s.TTL == 0 {
		s.TTL = time.Minute
	}
	if s.InactiveTTL == 0 {
		s.InactiveTTL = 5 * time.Second
	}
	if s.Timeout == 0 {
		s.Timeout = 2 * time.Second
	}
	if s.Bytes == 0 {
		s.Bytes = 32 << 20
	}
	if s.Inactive == 0 {
		s.Inactive = 65_536
	}
	if s.Questions == 0 {
		s.Questions = 256
	}
	if s.FloodBurst == 0 {
		s.FloodBurst = 20
	}
	if s.FloodRate == 0 {
		s.FloodRate = 5
	}
	return s
}

// place is whose answers these are: a server may tell one client more than another, and take a token for good for one alone.
func (s Settings) place() string {
	return s.URL.String() + "\n" + s.ClientID + "\n" + string(s.Auth) + "\n" + s.Hint
}
