package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/wording"
)

// Bounds of looking at resolvers. resolv.conf(5) takes no more than three.
const (
	maxServers    = 3
	maxNames      = 16
	maxSearch     = 6 // search domains, as resolv.conf(5) had it for long
	askPatience   = 2 * time.Second
	slowLookup    = 100 * time.Millisecond
	usualPatience = 5 * time.Second // of a resolver's client, unless resolv.conf says otherwise
)

// lookResolvers asks each resolver of the box by itself, because one that is dead is hidden by the next and costs seconds each time.
func lookResolvers(ctx context.Context, p *Patient) []box.Finding {
	names := slices.DeleteFunc(lookedUp(p.Config), func(name string) bool { return inHosts(p.Machine, name) })
	if len(names) == 0 || p.Probes.Ask == nil {
		return nil
	}
	text, err := p.Machine.Read("/etc/resolv.conf")
	if err != nil {
		return one(unknown(unread("/etc/resolv.conf", err), "It says who is asked for the addresses of endpoints.", ""))
	}
	r := readResolv(text)
	if len(r.servers) == 0 {
		return one(unknown("/etc/resolv.conf names no resolver", "Endpoints are given by name: "+strings.Join(names, ", ")+".", "name one there"))
	}
	answers := make([]Told, len(r.servers))
	var wait sync.WaitGroup
	for i, server := range r.servers {
		wait.Go(func() { answers[i] = r.ask(ctx, p.Probes.Ask, server, names[0]) })
	}
	wait.Wait()
	alive := 0
	for _, a := range answers {
		if a.Err == nil {
			alive++
		}
	}
	var out []box.Finding
	for i, a := range answers {
		f := judgeServer(a, i, alive, r.patience)
		f.Subject = r.servers[i]
		out = append(out, f)
	}
	return append(out, r.judgeSearch(names)...)
}

const whyResolvers = "Endpoints that are given by name are looked up again and again; while that fails they stay as they were, and one that was moved is not found."

func judgeServer(a Told, place, alive int, patience time.Duration) box.Finding {
	switch {
	case a.Err != nil && alive == 0:
		return box.Finding{Severity: box.Bad, Is: "does not answer: " + cut(a.Err.Error(), 120) + "; nor does any other", Want: "an answer within " + short(slowLookup), Why: whyResolvers,
			Remedy: "name a resolver in /etc/resolv.conf that answers, or mend this one"}
	case a.Err != nil && place == 0:
		return box.Finding{Severity: box.Warning, Is: "the first resolver does not answer: " + cut(a.Err.Error(), 120), Want: "an answer within " + short(slowLookup), Why: whyResolvers + " Each look-up asks the first one first.",
			Cost: "about " + short(patience) + " a look-up, before the next is asked", Remedy: "put a resolver that answers first in /etc/resolv.conf"}
	case a.Err != nil:
		return box.Finding{Severity: box.Hint, Is: "does not answer: " + cut(a.Err.Error(), 120), Want: "an answer within " + short(slowLookup), Why: "It is there for when those before it fail, and would not help.",
			Remedy: "mend it, or name another in /etc/resolv.conf"}
	case a.Code == dns.RcodeServerFailure || a.Code == dns.RcodeRefused:
		return box.Finding{Severity: box.Warning, Is: "answers " + dns.RcodeToString[a.Code] + " for " + a.Name, Want: "addresses", Why: whyResolvers, Remedy: "ask whoever runs it; resolvectl query " + a.Name}
	case a.Code == dns.RcodeNameError:
		return box.Finding{Severity: box.Warning, Is: "knows no " + a.Name, Want: "addresses", Why: "The configuration has an endpoint of this name, which is not in /etc/hosts either.", Remedy: "getent hosts " + a.Name}
	case a.Took > slowLookup:
		return box.Finding{Severity: box.Hint, Is: "takes " + short(a.Took) + " for " + a.Name, Want: "below " + short(slowLookup), Why: whyResolvers, Cost: short(a.Took) + " a look-up", Remedy: "a resolver on this box that remembers answers (systemd-resolved, unbound)"}
	}
	return good("answers in "+short(a.Took), whyResolvers)
}

// ask asks a resolver as the system would: for the name in each search domain where it has too few dots, and as it is, until there is one.
func (r *resolv) ask(ctx context.Context, ask func(ctx context.Context, server, name string) Told, server, name string) Told {
	var told Told
	took := time.Duration(0)
	for _, tried := range r.tried(name) {
		told = ask(ctx, server, tried)
		took += told.Took
		if told.Err != nil || told.Code != dns.RcodeNameError {
			break
		}
	}
	told.Name, told.Took = name, took
	return told
}

// tried are the names that are looked for, one after the other (resolv.conf(5), search and ndots).
func (r *resolv) tried(name string) []string {
	if strings.HasSuffix(name, ".") {
		return []string{name}
	}
	var all []string
	for _, domain := range r.search[:min(len(r.search), maxSearch)] {
		all = append(all, name+"."+strings.Trim(domain, "."))
	}
	if strings.Count(name, ".") >= r.dots {
		return append([]string{name}, all...)
	}
	return append(all, name)
}

// inHosts says that a name is in /etc/hosts, which is asked before any resolver.
func inHosts(m *box.Machine, name string) bool {
	text, _ := m.Read("/etc/hosts")
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if f := strings.Fields(line); len(f) > 1 && slices.ContainsFunc(f[1:], func(n string) bool { return strings.EqualFold(n, strings.TrimSuffix(name, ".")) }) {
			return true
		}
	}
	return false
}

// Told is what one resolver said.
type Told struct {
	Name string
	Took time.Duration
	Code int // of the answer, RFC 1035 section 4.1.1
	Err  error
}

// ask asks one resolver for the addresses of a name, by UDP and, where the answer does not fit, by TCP.
func ask(ctx context.Context, server, name string) Told {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), dns.TypeA)
	m.SetEdns0(1232, false)
	c := &dns.Client{Timeout: askPatience}
	answer, took, err := c.ExchangeContext(ctx, m, server)
	if err == nil && answer.Truncated {
		c.Net = "tcp"
		answer, took, err = c.ExchangeContext(ctx, m, server)
	}
	if err != nil {
		if e, ok := err.(net.Error); ok && e.Timeout() {
			err = fmt.Errorf("nothing came within %s", short(askPatience))
		}
		return Told{Name: name, Err: err}
	}
	return Told{Name: name, Took: took, Code: answer.Rcode}
}

// lookedUp are the names that a configuration has the system's resolvers asked for.
func lookedUp(c *config.Config) (names []string) {
	if c == nil {
		return nil
	}
	seen := map[string]bool{}
	add := func(a config.Address) {
		if _, isIP := a.IP(); a.Host == "" || isIP || a.Host == "localhost" || seen[a.Host] || len(names) == maxNames {
			return
		}
		seen[a.Host] = true
		names = append(names, a.Host)
	}
	for i := range c.Upstreams {
		if u := &c.Upstreams[i]; u.Resolve.Server.IsZero() {
			for j := range u.Endpoints {
				add(u.Endpoints[j].Address.Address)
			}
		}
	}
	return names
}

// resolv is what resolv.conf(5) says.
type resolv struct {
	servers  []string // host:port
	search   []string
	dots     int
	patience time.Duration
}

func readResolv(text string) resolv {
	r := resolv{dots: 1, patience: usualPatience}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			if _, err := netip.ParseAddr(f[1]); err == nil && len(r.servers) < maxServers {
				r.servers = append(r.servers, net.JoinHostPort(f[1], "53"))
			}
		case "search", "domain":
			r.search = f[1:]
		case "options":
			for _, option := range f[1:] {
				name, value, _ := strings.Cut(option, ":")
				n, err := strconv.Atoi(value)
				switch {
				case err != nil || n < 0 || n > 60:
				case name == "ndots":
					r.dots = n
				case name == "timeout" && n > 0:
					r.patience = time.Duration(n) * time.Second
				}
			}
		}
	}
	return r
}

// judgeSearch tells of names that are first looked for in every search domain.
func (r *resolv) judgeSearch(names []string) []box.Finding {
	var short []string
	for _, name := range names {
		if !strings.HasSuffix(name, ".") && strings.Count(name, ".") < r.dots {
			short = append(short, name)
		}
	}
	if r.dots <= 1 || len(r.search) == 0 || len(short) == 0 {
		return nil
	}
	f := box.Finding{
		Severity: box.Hint, Is: fmt.Sprintf("ndots:%d with %s: %s first looked for below each of them", r.dots, wording.Count(len(r.search), "search domain"), cut(strings.Join(short, ", "), 80)+plural(len(short), " is", " are")),
		Want: "names that end with a dot, or ndots:1", Why: "resolv.conf has names with fewer dots than ndots tried in every search domain before they are tried as they are.",
		Cost: wording.Count(len(r.search), "look-up") + " for nothing before each that counts", Remedy: "write these endpoints with a dot at the end, or options ndots:1 in /etc/resolv.conf", Subject: "search",
	}
	return []box.Finding{f}
}

func plural(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}
