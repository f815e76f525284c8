package config

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"straum.dev/straum/internal/document"
)

// check fills the defaults that depend on other keys and judges what no single key can. When the files did not
// decode without a problem, only names and references are judged: they are known all the same, while the rest
// might be a mere consequence.
func check(c *Config, problems *document.Problems) {
	k := checker{config: c, problems: problems, clean: problems.Len() == 0}
	k.counts()
	k.upstreams()
	k.policies(c.Policies)
	k.consumers()
	k.routes()
	if k.clean {
		k.redis()
		k.cache()
		k.secret()
		k.listeners()
		k.acme()
		k.process()
		k.sandbox()
	}
}

type checker struct {
	config   *Config
	problems *document.Problems
	clean    bool // the files decoded without a problem
	dangling int
	names    []string // of upstreams, for suggestions
}

func (k *checker) blame(at document.Node, format string, args ...any) {
	k.problems.Add(at.Errorf(format, args...))
}

func (k *checker) counts() {
	c := k.config
	if len(c.Listeners) == 0 && (k.clean || !c.Node.Has("listeners")) {
		k.blame(c.Node.At("listeners"), "no listener is configured; at least one is required, such as listeners: [{address: \":8080\"}]")
	}
	for _, n := range []struct {
		key       string
		got, most int
	}{
		{"listeners", len(c.Listeners), MaxListeners},
		{"upstreams", len(c.Upstreams), MaxUpstreams},
		{"policies", len(c.Policies), MaxPolicies},
		{"consumers", len(c.Consumers), MaxConsumers},
		{"plans", len(c.Plans), MaxPlans},
		{"routes", len(c.Routes), MaxRoutes},
	} {
		if n.got > n.most {
			k.blame(c.Node.Key(n.key), "found %d %s, all files together; allowed: at most %d", n.got, n.key, n.most)
		}
	}
}

// orderly blames the larger key when low is above high.
func (k *checker) orderly(at document.Node, lowKey string, low document.Duration, highKey string, high document.Duration) {
	if low <= high {
		return
	}
	blamed := lowKey
	if !at.Has(lowKey) {
		blamed = highKey
	}
	k.blame(at.At(blamed), "%s is %s and %s is %s; %s must not be longer than %s", lowKey, low, highKey, high, lowKey, highKey)
}

func (k *checker) upstreams() {
	c := k.config
	c.byName = make(map[string]*Upstream, len(c.Upstreams))
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		if first := c.byName[u.Name]; first != nil {
			if first.Node.File() == u.Node.File() {
				continue // the document has blamed the key already
			}
			k.blame(u.Node, "the upstream %s is here twice, first at %s; remove one or give it another name", u.Name, first.Node.Place())
			continue
		}
		c.byName[u.Name] = u
		k.names = append(k.names, u.Name)
		if k.clean {
			k.upstream(u)
		}
	}
}

func (k *checker) upstream(u *Upstream) {
	seen := make(map[Address]document.Node, len(u.Endpoints))
	for _, e := range u.Endpoints {
		if first, ok := seen[e.Address.Address]; ok {
			k.blame(e.Node, "the endpoint %s is here twice, first at %s; remove one or give one a larger weight", e.Address, first.Place())
		}
		seen[e.Address.Address] = e.Node
	}
	k.endpointTLS(u)
	switch {
	case u.Balance.Hash != nil:
		u.Balance.Method = "hash"
	case u.Balance.Sticky != nil:
		u.Balance.Method = "sticky"
	}
	if h := u.Health; h != nil {
		k.health(h)
		if h.GRPC != nil && u.Protocol == "http1" {
			k.blame(h.Node.At("grpc"), "gRPC needs HTTP/2, and the protocol of this upstream is http1; set protocol: http2")
		}
	}
	k.statuses(u.Retry.Node, "statuses", u.Retry.Statuses, 400, "others are no failures")
	k.orderly(u.Ejection.Node, "base", u.Ejection.Base, "max", u.Ejection.Max)
	if b := u.Breaker; b != nil {
		k.orderly(b.Node, "cooldown", b.Cooldown, "max_cooldown", b.MaxCooldown)
		if b.ConsecutiveErrors == 0 && b.ErrorRatio == 0 && b.SlowCall == 0 && b.MaxActive == 0 {
			k.blame(b.Node, "nothing can open this breaker; set one of consecutive_errors, error_ratio, slow_call, max_active, or remove it")
		}
	}
	if t := u.Timeouts; t.Try > 0 && t.Exchange > 0 {
		k.orderly(t.Node, "try", t.Try, "exchange", t.Exchange)
	}
	k.hostSetting(u.Node.At("host"), u.Host)
}

func (k *checker) health(h *Health) {
	k.orderly(h.Node, "timeout", h.Timeout, "every", h.Every)
	k.statuses(h.Node, "status", h.Status, 200, "an interim answer is no answer")
	if h.Path == "" {
		if !h.TCP && h.GRPC == nil {
			k.blame(h.Node.At("tcp"), "found false; allowed: tcp: true, or path in its stead")
		}
		for _, key := range []string{"body", "host"} {
			if h.Node.Has(key) {
				k.blame(h.Node.Key(key), "%s is of no use without path", key)
			}
		}
	}
	if h.Host != "" && !isAuthority(h.Host) {
		k.blame(h.Node.At("host"), "found %q; allowed: a host, with or without a port", h.Host)
	}
}

// statuses blames ranges that begin below least, for the reason given.
func (k *checker) statuses(at document.Node, key string, ranges []StatusRange, least int, reason string) {
	for i, r := range ranges {
		if r.From < least {
			k.blame(at.At(key, i), "found %s; allowed: statuses from %d to 599, as %s", r, least, reason)
		}
	}
}

// hostSetting judges keep, endpoint or a name. A slip in the two words would be a fine name, so what is near
// them and has no dot is refused.
func (k *checker) hostSetting(at document.Node, host string) {
	words := []string{"keep", "endpoint"}
	if host == "" || host == words[0] || host == words[1] {
		return
	}
	p := at.Errorf("found %q; allowed: keep, endpoint, or a host with or without a port", host)
	if !strings.ContainsAny(host, ".:") {
		p.Suggestion = document.Suggest(host, words)
	}
	if p.Suggestion != "" || !isAuthority(host) {
		k.problems.Add(p)
	}
}

// isAuthority accepts what a Host header may hold: a name or address, and perhaps a port.
func isAuthority(host string) bool {
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
		host += ":80"
	}
	if !strings.Contains(host, ":") {
		return isHostName(host)
	}
	_, err := parseAddress(host, false)
	return err == nil
}

func (k *checker) listeners() {
	names := make(map[string]document.Node)
	taken := make(map[string]taken)
	for i := range k.config.Listeners {
		l := &k.config.Listeners[i]
		if l.Name == "" {
			l.Name = l.Address.String()
		}
		if first, ok := names[l.Name]; ok {
			k.blame(l.Node.At("name"), "the listener %s is here twice, first at %s; give one another name", l.Name, first.Place())
		} else {
			names[l.Name] = l.Node.At("name")
		}
		k.claim(taken, l.Address.Address, l.Node.At("address"), "a listener")
		if l.Limits.ConnectionsPerClient > l.Limits.Connections {
			k.blame(l.Node.At("limits", "connections_per_client"), "found %d; allowed: at most connections, which is %d", l.Limits.ConnectionsPerClient, l.Limits.Connections)
		}
		k.listenerTLS(l)
		if l.Address.Network() == "unix" && l.Sockets > 1 {
			k.blame(l.Node.At("sockets"), "found %d; a unix socket cannot be shared: remove the key", l.Sockets)
		}
	}
	if m := k.config.Metrics; !m.Off {
		k.claim(taken, m.Address.Address, m.Node.At("address"), "metrics")
	}
	if a := k.config.Admin; !a.Off && !a.Address.IsZero() {
		k.claim(taken, a.Address.Address, a.Node.At("address"), "admin")
	}
	if a := k.config.Admin; !a.Off && a.Socket != "" {
		k.claim(taken, Address{Path: a.Socket}, a.Node.At("socket"), "admin")
	}
}

type taken struct {
	who string
	at  document.Node
}

// claim lets each address be listened on once. All addresses of a port are one address, however written.
func (k *checker) claim(all map[string]taken, a Address, at document.Node, who string) {
	if a.Path == "" && a.Port == 0 {
		return // the kernel gives each another port
	}
	if ip, ok := a.IP(); ok && ip.IsUnspecified() {
		a.Host = ""
	}
	key := a.String()
	first, ok := all[key]
	if !ok {
		all[key] = taken{who, at}
		return
	}
	where := ""
	if first.at.Line() > 0 {
		where = " at " + first.at.Place()
	}
	if at.IsZero() {
		at, where = first.at, ", which is the default of "+who
	}
	k.blame(at, "the address %s is taken by %s%s; each address can be listened on once", a, first.who, where)
}

// policies judges the names in one list.
func (k *checker) policies(list []Policy) {
	seen := make(map[string]document.Node, len(list))
	for i := range list {
		p := &list[i]
		if p.Name == "" {
			continue // it did not decode
		}
		if first, ok := seen[p.Name]; ok {
			k.blame(p.Blame(), "the policy %s is here twice, first at %s; remove one", p.Name, first.Place())
			continue
		}
		seen[p.Name] = p.Blame()
		if k.config.policies == nil || k.config.policies[p.Name] != nil {
			continue
		}
		k.problems.Add(p.Blame().Unknown("policy", p.Name, sortedNames(k.config.policies)))
	}
}

func (k *checker) routes() {
	names := make(map[string]*Route, len(k.config.Routes))
	for i := range k.config.Routes {
		r := &k.config.Routes[i]
		if r.Name == "" {
			r.Name = r.Match.label()
		}
		if first := names[r.Name]; first == nil {
			names[r.Name] = r
		} else if k.clean || r.Node.Has("name") {
			k.sameName(r, first)
		}
		k.route(r)
	}
}

func (k *checker) sameName(r, first *Route) {
	if r.Node.Has("name") {
		k.blame(r.Node.At("name"), "the route %s is here twice, first at %s; give one another name", r.Name, first.Node.Place())
		return
	}
	k.blame(r.Node, "this route and the one at %s have no name and the same first host and path; give one a name", first.Node.Place())
}

// label is what a route without a name is called.
func (m *Match) label() string {
	host, path := "*", "/*"
	if len(m.Host) > 0 {
		host = m.Host[0]
	}
	if len(m.Path) > 0 {
		path = m.Path[0]
	}
	return host + " " + path
}

func (k *checker) route(r *Route) {
	// With no upstream at all in files that did not decode, all names would be blamed for one mistake.
	if r.Upstream != "" && k.config.byName[r.Upstream] == nil && (k.clean || len(k.names) > 0) {
		// Suggestions compare all names, so they end where the list of problems has become long anyway.
		p := r.Node.At("upstream").Errorf("unknown upstream %q", r.Upstream)
		if k.dangling++; k.dangling <= 100 {
			p = r.Node.At("upstream").Unknown("upstream", r.Upstream, k.names)
		}
		k.problems.Add(p)
	}
	k.policies(r.Policies)
	if !k.clean {
		return
	}
	k.match(&r.Match)
	for _, key := range []struct{ name, value string }{{"strip_prefix", r.StripPrefix}, {"rewrite", r.Rewrite}} {
		if strings.ContainsAny(key.value, "?#") {
			k.blame(r.Node.At(key.name), "found %q; allowed: a path without ? and #", key.value)
		}
	}
	k.hostSetting(r.Node.At("host"), r.Host)
	if t := r.Timeouts; t.Try != nil && t.Exchange != nil && *t.Try > 0 && *t.Exchange > 0 {
		k.orderly(t.Node, "try", *t.Try, "exchange", *t.Exchange)
	}
}

// match judges the words of a match one by one. What paths and hosts mean together is the route table's to say.
func (k *checker) match(m *Match) {
	for i, host := range m.Host {
		if problem := badHost(host); problem != "" {
			k.blame(m.Node.At("host", i), "found %q, %s; allowed: a host such as api.example.com or *.example.com", host, problem)
		}
	}
	for i, path := range m.Path {
		if strings.ContainsAny(path, "?#") {
			k.blame(m.Node.At("path", i), "found %q; allowed: a path without ? and #; match the query with query", path)
		}
	}
	for name := range m.Headers {
		if !isToken(name) {
			k.blame(m.Node.At("headers").Key(name), "found %q; allowed: a header name", name)
		}
	}
	lower := make(map[string]string, len(m.Headers))
	for name := range m.Headers {
		if other, ok := lower[strings.ToLower(name)]; ok {
			k.blame(m.Node.At("headers").Key(max(name, other)), "the headers %s and %s are the same, as case does not count; remove one", min(name, other), max(name, other))
		}
		lower[strings.ToLower(name)] = name
	}
	if _, ok := m.Query[""]; ok {
		k.blame(m.Node.At("query").Key(""), "found an empty name; allowed: the name of a query parameter")
	}
}

func badHost(host string) string {
	name := strings.TrimPrefix(host, "*.")
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok && isIPv6(inner) {
			return ""
		}
		return "which is no IPv6 address"
	}
	switch {
	case host == "*":
		return "which is any host; leave host out"
	case strings.Contains(name, "*"):
		return "where * is not the whole first label"
	case strings.Contains(name, ":"):
		return "which has a port; the port belongs to the listener"
	case strings.HasSuffix(name, ".") || !isHostName(name):
		return "which is no host name"
	}
	return ""
}

func isIPv6(s string) bool {
	ip, err := netip.ParseAddr(s)
	return err == nil && ip.Is6() && ip.Zone() == ""
}

func (k *checker) process() {
	c := k.config
	if to := c.Log.Access.To; to != "stdout" && to != "stderr" && to != "off" && !strings.HasPrefix(to, "/") {
		p := c.Log.Access.Node.At("to").Errorf("found %q; allowed: stdout, stderr, off, or the absolute path of a file", to)
		p.Suggestion = document.Suggest(to, []string{"stdout", "stderr", "off"})
		k.problems.Add(p)
	}
	a := &c.Admin
	if a.Off {
		return
	}
	if a.Socket != "" && !strings.HasPrefix(a.Socket, "/") {
		k.blame(a.Node.At("socket"), "found %q; allowed: an absolute path, or \"\" for none", a.Socket)
	}
	if !a.Token.IsZero() && len(a.Token.Reveal()) < minToken {
		k.blame(a.Node.At("token"), "the token has fewer than %d bytes; make one with: openssl rand -hex 32", minToken)
	}
	if a.Address.IsZero() {
		return
	}
	ip, isIP := a.Address.IP()
	if loopback := isIP && ip.IsLoopback() || a.Address.Host == "localhost"; !loopback {
		k.blame(a.Node.At("address"), "found %s; allowed: a loopback address such as 127.0.0.1:9901: reach it from elsewhere through ssh", a.Address)
	}
	if a.Token.IsZero() {
		k.blame(a.Node.At("address"), "an address for the admin API requires a token; add token: ${STRAUM_ADMIN_TOKEN}, or remove address and use the socket")
	}
}

// minToken is what a token needs so that it cannot be guessed by trying.
const minToken = 16

func sortedNames(policies map[string]any) []string {
	return slices.Sorted(maps.Keys(policies))
}
