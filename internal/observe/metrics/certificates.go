package metrics

import "strings"

// MaxCertificates is how many certificates have series of their own, Other included. What comes after them is shown under Other, as
// one certificate.
const MaxCertificates = 1000

// label tells certificates apart.
type label struct{ name, key string }

// merged makes of several certificates that share their labels one that keeps what an alert needs: the end that comes first, and
// every problem.
func merged(all []Certificate) []Certificate {
	var out []Certificate
	at := map[label]int{}
	for _, c := range all {
		// The labels are made valid here already: two names that become one by it are one series.
		l := label{strings.ToValidUTF8(c.Name, "\ufffd"), strings.ToValidUTF8(c.Key, "\ufffd")}
		i, known := at[l]
		if !known && len(out) >= MaxCertificates-1 {
			l = label{Other, Other}
			i, known = at[l]
		}
		c.Name, c.Key = l.name, l.key
		if !known {
			at[l] = len(out)
			out = append(out, c)
			continue
		}
		out[i].take(&c)
	}
	return out
}

func (c *Certificate) take(d *Certificate) {
	if c.Expires.IsZero() || !d.Expires.IsZero() && d.Expires.Before(c.Expires) {
		c.Expires = d.Expires
	}
	c.Swaps += d.Swaps
	c.Refusals += d.Refusals
	c.Problem = c.Problem || d.Problem
	c.Stapled = (c.Stapled || !c.Staples) && (d.Stapled || !d.Staples)
	c.Staples = c.Staples || d.Staples
	c.Alarm = c.Alarm || d.Alarm
}

func (t TLS) collect(out output) {
	for _, c := range merged(t.Certificates) {
		if !c.Expires.IsZero() {
			out.gauge(certExpiry, float64(c.Expires.Unix()), c.Name, c.Key)
		}
		out.gauge(certProblem, truth(c.Problem), c.Name, c.Key)
		out.count(certSwaps, c.Swaps, c.Name, c.Key)
		out.count(certRefusals, c.Refusals, c.Name, c.Key)
		if c.Staples {
			out.gauge(certStapled, truth(c.Stapled), c.Name, c.Key)
		}
		out.gauge(certAlarm, truth(c.Alarm), c.Name, c.Key)
	}
	if k := t.Tickets; k != nil {
		if !k.Rotated.IsZero() {
			out.gauge(ticketsTurned, float64(k.Rotated.UnixMilli())/1000)
		}
		out.gauge(ticketsBad, truth(k.Problem))
	}
	if a := t.ACME; a != nil {
		for _, n := range a.Names {
			out.gauge(acmeNames, float64(n.N), n.Reason)
		}
		for _, o := range a.Orders {
			out.count(acmeOrders, o.N, o.Reason)
		}
		out.count(acmeRevoked, a.Revoked)
		for _, c := range a.Challenges {
			out.count(acmeAnswers, c.N, c.Reason)
		}
	}
}
