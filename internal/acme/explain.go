package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"

	"github.com/mholt/acmez/v3/acme"
)

// explainMost bounds what an authority or a program can put into our log and status.
const explainMost = 600

// explain says what went wrong in words an operator can act on. The texts of the authority are passed on, as RFC 8555 §6.7 asks.
func explain(err error) string {
	var (
		p        acme.Problem
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		lookup   *net.DNSError
		address  *url.Error
	)
	where := "the authority"
	if errors.As(err, &address) {
		if u, bad := url.Parse(address.URL); bad == nil && u.Host != "" {
			where = u.Host
		}
	}
	text := ""
	switch {
	case errors.As(err, &p):
		text = "the authority refused: " + p.Detail
		for _, sub := range p.Subproblems {
			text += "; " + sub.Identifier.Value + ": " + sub.Detail
		}
		text += " (" + strings.TrimPrefix(p.Type, acme.ProblemTypeNamespace) + ")"
		if advice := advise(p.Type); advice != "" {
			text += ": " + advice
		}
	case errors.As(err, &unknown):
		text = where + " shows a certificate that no known authority has signed: if it is a private one, name the file with its CA certificate as acme.ca"
	case errors.As(err, &hostname), errors.As(err, &invalid):
		text = where + " shows a certificate that is not good: " + cause(err)
	case errors.As(err, &lookup):
		text = fmt.Sprintf("the address of %s cannot be found: %s", lookup.Name, lookup.Err)
	case address != nil && errors.Is(err, syscall.ECONNREFUSED):
		text = where + " refuses connections"
	case address != nil && address.Timeout():
		text = where + " does not answer in time"
	case errors.Is(err, context.DeadlineExceeded):
		text = "it took too long: " + err.Error()
	default:
		text = err.Error()
		for _, prefix := range []string{"] Obtain: ", "] Renew: "} { // certmagic repeats the name
			if _, rest, ok := strings.Cut(text, prefix); ok {
				text = rest
			}
		}
	}
	return printable(text, explainMost)
}

// advise adds what the authority cannot know to say.
func advise(kind string) string {
	switch strings.TrimPrefix(kind, acme.ProblemTypeNamespace) {
	case "connection":
		return "port 80 (http-01) or 443 (tls-alpn-01) of the name's address must reach a listener of this gateway"
	case "dns":
		return "the name must be found in the public DNS"
	case "unauthorized", "incorrectResponse":
		return "the name's address may lead to another machine"
	case "rateLimited":
		return "it will be tried again, and staging has no such limits"
	case "caa":
		return "a CAA record of the name forbids this authority"
	}
	return ""
}

// cause is the innermost error's text.
func cause(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

// printable is at most that many bytes of text, on one line.
func printable(text string, most int) string {
	text = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text), "?")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + " …"
	}
	return text
}
