package cache

import (
	"crypto/sha256"
	"strings"

	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
)

// steering says whether fields of a request may lead an endpoint to answer something else than what the rest of it asks for.
type steering uint8

const (
	straight   steering = iota
	steered             // by fields that are in the key now; another spelling of the host is one
	overridden          // to another method
)

const keyOfSteered = 's'

// steer adds to a key the fields that endpoints are known to take for the request's own host, scheme or path. Whoever sends one of those gets answers
// of his own and poisons nobody's. Host is one of them where it is not spelled as routes have it: endpoints are sent it as it came, and one that
// takes a.test. or A.test for an unknown host answers something else. X-Forwarded-Host and its like reach an endpoint as they came only from trusted
// addresses, which may have them from anybody.
func steer(k object.Key, r *exchange.Request, b []byte) (object.Key, []byte, steering) {
	s, h := straight, &r.Header
	for i := range h.All() {
		f := &h.All()[i]
		switch f.Known {
		case exchange.Host:
			if isSpelled(r, f.Value) {
				continue
			}
		case exchange.XForwardedHost, exchange.XForwardedProto, exchange.XForwardedPort:
		case exchange.Other:
			if !maySteer(f.Name) {
				continue
			}
			switch steers(f.Name) {
			case straight:
				continue
			case overridden:
				return k, b, overridden
			}
		default:
			continue
		}
		if s == straight {
			s = steered
			b = append(append(b[:0], keyOfSteered), k[:]...)
		}
		b = appendCount(b, len(f.Name))
		for j := range len(f.Name) {
			c := f.Name[j]
			if 'A' <= c && c <= 'Z' {
				c |= 0x20
			}
			b = append(b, c)
		}
		b = appendPart(b, f.Value)
	}
	if s == straight {
		return k, b, s
	}
	return sha256.Sum256(b), b, s
}

// isSpelled says whether a Host is spelled as routes have it: in lower case, without a dot at its end, and with no port that the scheme implies.
func isSpelled(r *exchange.Request, host string) bool {
	if r.Port == "" {
		return host == r.Host
	}
	n := len(r.Host)
	return portOf(r) == r.Port && len(host) == n+1+len(r.Port) && host[:n] == r.Host && host[n] == ':' && host[n+1:] == r.Port
}

// maySteer says whether a name begins as those of steers do and is no longer.
func maySteer(name string) bool {
	return len(name) <= len("X-HTTP-Method-Override") && len(name) >= len("X-Host") && (name[0]|0x20 == 'x' && name[1] == '-' || name[0]|0x20 == 'f')
}

// steers says what an endpoint may be led to by a field of this name, which the gateway passes on as it is.
func steers(name string) steering {
	for i := range steerers {
		if s := &steerers[i]; len(s.name) == len(name) && strings.EqualFold(s.name, name) {
			return s.to
		}
	}
	return straight
}

var steerers = [...]struct {
	name string
	to   steering
}{
	{"X-HTTP-Method-Override", overridden}, {"X-Method-Override", overridden}, {"X-HTTP-Method", overridden},
	{"X-Original-URL", steered}, {"X-Rewrite-URL", steered}, {"X-Original-URI", steered}, {"X-Original-Host", steered}, {"X-Host", steered},
	{"X-Forwarded-Scheme", steered}, {"X-Forwarded-Ssl", steered}, {"X-Forwarded-Server", steered}, {"X-Forwarded-Prefix", steered},
	{"X-Forwarded-Path", steered}, {"X-Forwarded-Uri", steered}, {"X-Script-Name", steered}, {"X-Scheme", steered}, {"X-Url-Scheme", steered},
	{"X-HTTP-Host-Override", steered}, {"X-Backend-Host", steered}, {"Front-End-Https", steered},
}
