package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/wording"
)

// Bounds of looking at endpoints.
const (
	maxReached   = 64                      // endpoints that are asked, all at the same time; more are told as not looked at
	idleWatched  = 1500 * time.Millisecond // how long a connection is left alone to see whether it stays open
	reachTimeout = 3 * time.Second         // of one connection and of one answer, unless the upstream's own is shorter
)

// lookEndpoints asks each endpoint what the gateway's health probe would, twice over what should be one connection, and tells how long
// that takes and whether the connection is kept.
func lookEndpoints(ctx context.Context, p *Patient) []box.Finding {
	if p.Config == nil || p.Probes.Reach == nil {
		return nil
	}
	type asked struct {
		upstream *config.Upstream
		endpoint *config.Endpoint
		reached  Reached
		err      error
	}
	var all []asked
	left := 0
	for i := range p.Config.Upstreams {
		u := &p.Config.Upstreams[i]
		for j := range u.Endpoints {
			if len(all) == maxReached {
				left++
				continue
			}
			all = append(all, asked{upstream: u, endpoint: &u.Endpoints[j]})
		}
	}
	var wait sync.WaitGroup
	for i := range all { // in turns, those that do not answer would take the others' time
		wait.Go(func() {
			a := &all[i]
			a.reached, a.err = p.Probes.Reach(ctx, a.upstream, a.endpoint)
		})
	}
	wait.Wait()
	dead := map[*config.Upstream]int{}
	for i := range all {
		if all[i].err != nil {
			dead[all[i].upstream]++
		}
	}
	var out []box.Finding
	for i := range all {
		a := &all[i]
		f := judgeReached(a.upstream, &a.reached)
		if c := a.reached.Shown; c != nil && f.Severity < box.Warning && urgency(c, p.Now) != box.Good {
			f = box.Finding{Severity: box.Warning, Is: f.Is + "; its certificate ends in " + days(c.NotAfter.Sub(p.Now)), Want: "renewed in time",
				Why: "From the second on at which it ends the gateway refuses the endpoint, and its routes answer 502.", Remedy: "renew it at the endpoint, and see that the endpoint takes it over"}
		}
		if a.err != nil {
			f = unreached(a.upstream, a.err, dead[a.upstream] == len(a.upstream.Endpoints))
		}
		f.Subject = a.upstream.Name + " " + a.endpoint.Address.String()
		out = append(out, f)
	}
	if left > 0 {
		out = append(out, unknown("not asked: "+wording.Count(left, "further endpoint"), fmt.Sprintf("At most %d are, so that a look stays cheap for them.", maxReached), ""))
	}
	return out
}

// unreached is an endpoint that did not answer.
func unreached(u *config.Upstream, err error, all bool) box.Finding {
	f := box.Finding{
		Severity: box.Warning, Is: "does not answer: " + cut(err.Error(), 160), Want: "an answer",
		Why:    "Requests go to the other endpoints of the upstream, which have to carry them; each that is tried here first costs its time.",
		Remedy: "see that it runs and that this box reaches it; straum upstreams tells what the gateway makes of it",
	}
	if all {
		f.Severity = box.Bad
		f.Why = "No endpoint of the upstream answers: its routes answer 502, 503 or 504."
	}
	return f
}

// keepAlive is why kept connections matter.
const keepAlive = "A connection that is kept saves a round trip for TCP and more for TLS with every request, and local ports; one that is not costs them each time."

// judgeReached tells of an endpoint that answered.
func judgeReached(u *config.Upstream, r *Reached) box.Finding {
	idle := u.Pool.IdleTimeout.Std()
	answered := fmt.Sprintf("answered %d", r.Status)
	if r.Status == 0 {
		answered = "was refused"
	}
	times := fmt.Sprintf("%s %s, in %s on a fresh connection (%s to connect", r.Asked, answered, short(r.First), short(r.Connect))
	if r.TLS > 0 {
		times += ", " + short(r.TLS) + " of TLS"
	}
	times += ")"
	kept := times
	if r.Again > 0 {
		kept += " and " + short(r.Again) + " on the same one"
	}
	saved := ""
	if fresh := r.Connect + r.TLS; fresh > 0 {
		saved = short(fresh) + " a request to open a connection for it"
	}
	switch {
	case u.Health != nil && u.Health.Path != "" && !healthy(u.Health.Status, r.Status):
		return box.Finding{Severity: box.Warning, Is: times, Want: "a status of " + statuses(u.Health.Status), Why: "The gateway's health probe asks the same and takes the endpoint for sick while it answers so: it gets no requests.",
			Remedy: "curl -v the path at the endpoint, whose log should say why; or mend upstreams." + u.Name + ".health"}
	case r.Trouble != "":
		return unknown(times+"; whether it keeps connections was not seen: "+r.Trouble, keepAlive, "")
	case u.Pool.Idle == 0:
		return box.Finding{Severity: box.Hint, Is: times + "; upstreams." + u.Name + ".pool.idle is 0, so no connection is kept", Want: "kept connections", Why: keepAlive, Cost: saved,
			Remedy: "remove pool.idle from the upstream"}
	case !r.Reused:
		return box.Finding{Severity: box.Warning, Is: times + "; it closes the connection after each answer" + because(r.Closing), Want: "kept connections", Why: keepAlive, Cost: saved,
			Remedy: "turn keep-alive on at the endpoint (nginx: keepalive_timeout above 0; an application server: its keep-alive setting), and let no proxy between turn it off"}
	case r.Closed > 0 && r.Closed < idle:
		return shortLived(u, kept, "closed a connection that was idle for "+short(r.Closed), r.Closed, saved)
	case r.Announced > 0 && r.Announced <= idle:
		return shortLived(u, kept, "says that it closes connections that are idle for "+short(r.Announced)+" (Keep-Alive)", r.Announced, "")
	}
	return good(kept+"; the connection was kept", keepAlive)
}

// healthy says whether a health probe takes a status for well; none named is 200 to 299.
func healthy(well []config.StatusRange, status int) bool {
	if len(well) == 0 {
		return status >= 200 && status <= 299
	}
	return slices.ContainsFunc(well, func(r config.StatusRange) bool { return r.Has(status) })
}

func statuses(well []config.StatusRange) string {
	if len(well) == 0 {
		return "200-299"
	}
	parts := make([]string, len(well))
	for i, r := range well {
		parts[i] = r.String()
	}
	return strings.Join(parts, ", ")
}

func because(closing string) string {
	if closing == "" {
		return ""
	}
	return " (" + closing + ")"
}

// shortLived is an endpoint that closes sooner than the pool does: whoever closes first should be the one that sends next.
func shortLived(u *config.Upstream, times, what string, after time.Duration, cost string) box.Finding {
	idle := u.Pool.IdleTimeout.Std()
	f := box.Finding{
		Severity: box.Hint, Is: times + "; it " + what, Want: "more than the " + short(idle) + " that the pool keeps idle connections",
		Why:    "When the endpoint closes first, a request may leave just as its connection goes. What was provably not received is sent again; the rest is a 502.",
		Cost:   cost,
		Remedy: "raise the endpoint's keep-alive time above " + short(idle) + ", or write upstreams." + u.Name + ".pool.idle_timeout below " + short(after),
	}
	if after < 2*time.Second {
		f.Severity = box.Warning // below it hardly any connection outlives a pause between requests
		f.Remedy = "raise the endpoint's keep-alive time above " + short(idle)
	}
	return f
}

// Reached is how an endpoint answered.
type Reached struct {
	Asked     string            // method and path
	Status    int               // of the last answer
	Connect   time.Duration     // of the first connection, with looking up the name
	TLS       time.Duration     // its handshake; 0 without
	First     time.Duration     // from nothing to the first byte of the answer
	Trouble   string            // why it was not seen whether the connection is kept, empty when it was
	Again     time.Duration     // to the first byte on a connection that was there; 0 when there was none
	Reused    bool              // the second request went over the first one's connection
	Closing   string            // how the endpoint said that it closes, empty when it did not
	Closed    time.Duration     // how long the connection was idle when the endpoint closed it; 0 when it stayed open while it was watched
	Shown     *x509.Certificate // of the endpoint, when it was checked; nil otherwise
	Announced time.Duration     // what its Keep-Alive field says; 0 is nothing
}

// question is what an endpoint is asked: what the gateway's own health probe asks, or a HEAD of the root.
func question(u *config.Upstream) (method, path string) {
	if u.Health != nil && u.Health.Path != "" {
		return http.MethodGet, u.Health.Path
	}
	return http.MethodHead, "/"
}

// hostFor is the Host an endpoint is asked for.
func hostFor(u *config.Upstream, e *config.Endpoint) string {
	if u.Health != nil && u.Health.Host != "" {
		return u.Health.Host
	}
	switch u.Host {
	case "keep", "endpoint", "":
		if e.Address.Path != "" {
			return "localhost"
		}
		host := e.Address.Host
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if e.Address.Port == 80 || e.Address.Port == 443 {
			return host
		}
		return net.JoinHostPort(e.Address.Host, fmt.Sprint(e.Address.Port))
	}
	return u.Host
}
