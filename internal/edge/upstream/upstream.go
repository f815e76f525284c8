package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/balance"
	"straum.dev/straum/internal/edge/breaker"
	"straum.dev/straum/internal/edge/health"
	"straum.dev/straum/internal/edge/resolve"
	"straum.dev/straum/internal/edge/retry"
)

// Upstream is a named set of endpoints and what was learnt about them.
type Upstream struct {
	name   string
	log    *slog.Logger
	view   atomic.Pointer[view]
	budget *retry.Budget
	group  *health.Group

	breaker atomic.Pointer[breaker.Breaker] // nil when there is none
	relieve func()                          // called when descriptors ran out

	mu       sync.Mutex // guards what follows, and the change of view
	settings Settings
	live     map[string]*endpoint // by address: those of the current view
	watches  map[string]watch     // by name
	prober   *health.Prober
	check    health.Check
	checked  Protocol // the upstream's when the prober was made
	resolver *resolve.Resolver
	closed   bool

	foundMu sync.Mutex // guards found; may be taken with mu held, never the other way round
	found   map[string][]netip.Addr

	rebuilt chan struct{} // capacity 1: there is a new view
}

// watch is a name that is being followed.
type watch struct {
	settings resolve.Settings
	stop     func()
}

// view is what an exchange sees of an upstream: immutable.
type view struct {
	settings  *Settings
	endpoints []*endpoint // by the balancer's index
	lines     []*line     // to each, under these settings
	names     []string    // of each, as configured, for people
	hosts     []string    // of each, for HostEndpoint
	balancer  balance.Balancer
	errors    [600]bool // statuses that count as errors for the breaker
	missing   []string  // names of endpoints that have no address yet
}

func newUpstream(name string, log *slog.Logger, resolver *resolve.Resolver, relieve func()) *Upstream {
	return &Upstream{name: name, relieve: relieve, log: log.With("upstream", name), live: map[string]*endpoint{}, found: map[string][]netip.Addr{},
		watches: map[string]watch{}, rebuilt: make(chan struct{}, 1), resolver: resolver}
}

// valid says whether the settings can be applied, without applying them.
func (s *Settings) valid() error {
	if err := s.Health.Check(); err != nil {
		return err
	}
	if s.Breaker != nil {
		if err := s.Breaker.Check(); err != nil {
			return err
		}
	}
	if err := s.Retry.Check(); err != nil {
		return err
	}
	if err := s.Budget.Check(); err != nil {
		return err
	}
	if s.Check != nil {
		if err := s.Check.Valid(); err != nil {
			return err
		}
	}
	if s.TLS != nil && s.TLS.Config == nil {
		return errors.New("tls: there is no configuration")
	}
	if s.TLS != nil && s.TLS.Identity == "" {
		return errors.New("tls: there is no identity, by which settings that mean the same are known again")
	}
	for _, status := range s.BreakerErrors {
		if status < 100 || status > 599 {
			return fmt.Errorf("breaker: status %d cannot count as an error, want 100 to 599", status)
		}
	}
	_, err := balance.New(nil, s.Balance)
	return err
}

// apply makes the settings those in force. They are valid.
func (u *Upstream) apply(s Settings) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := clock.Now()
	var err error
	if u.budget == nil {
		u.budget, err = retry.NewBudget(s.Budget, now)
	} else {
		err = u.budget.Set(s.Budget, now)
	}
	if err != nil {
		return err
	}
	if u.group == nil {
		u.group, err = health.NewGroup(s.Health)
	} else {
		err = u.group.Set(s.Health)
	}
	if err != nil {
		return err
	}
	if err := u.applyBreaker(s.Breaker, now); err != nil {
		return err
	}
	u.settings = s
	u.watchNames()
	if err := u.rebuild(); err != nil {
		return err
	}
	return u.applyCheck()
}

func (u *Upstream) applyBreaker(s *breaker.Settings, now int64) (err error) {
	current := u.breaker.Load()
	switch {
	case s == nil:
		u.breaker.Store(nil)
	case current != nil:
		err = current.Set(*s)
	default:
		current, err = breaker.New(*s, now, rand.Uint64, u.breakerChanged)
		if err == nil {
			u.breaker.Store(current)
		}
	}
	return err
}

func (u *Upstream) breakerChanged(c breaker.Change) {
	level := slog.LevelInfo
	if c.To == breaker.Open {
		level = slog.LevelWarn
	}
	u.log.Log(context.Background(), level, "breaker changed", "from", c.From.String(), "to", c.To.String(), "cause", c.Cause.String())
}

// watchNames begins to follow the names among the endpoints and stops following those that are gone.
func (u *Upstream) watchNames() {
	settings := resolve.Settings{Every: u.settings.ResolveEvery, Server: u.settings.ResolveServer}
	before := u.watches
	u.watches = map[string]watch{}
	for _, e := range u.settings.Endpoints {
		name := nameOf(e.Address)
		if _, done := u.watches[name]; name == "" || done {
			continue
		}
		if w, ok := before[name]; ok && w.settings == settings {
			u.watches[name] = w
			delete(before, name)
			continue
		}
		stop := u.resolver.WatchWith(name, settings, func(found []netip.Addr) { u.resolved(name, found) })
		u.watches[name] = watch{settings, stop}
	}
	// A watch is ended after its successor has begun, so that what is known is not forgotten in between.
	for name, w := range before {
		w.stop()
		if _, followed := u.watches[name]; !followed {
			u.foundMu.Lock()
			delete(u.found, name)
			u.foundMu.Unlock()
		}
	}
}

// nameOf returns the host of an address when it is a name that has to be resolved.
func nameOf(address string) string {
	if strings.HasPrefix(address, "unix:") {
		return ""
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	return host
}

// hostOf is the Host that an endpoint configured as address goes by. The port is left out where the scheme implies it.
func hostOf(address string, secure bool) string {
	implied := "80"
	if secure {
		implied = "443"
	}
	if strings.HasPrefix(address, "unix:") {
		return "localhost"
	}
	if host, port, err := net.SplitHostPort(address); err == nil && port == implied {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return address
}

// resolved takes new addresses of a name. It is called by the resolver, possibly while apply begins or ends a watch, so it must not
// take mu itself.
func (u *Upstream) resolved(name string, found []netip.Addr) {
	u.foundMu.Lock()
	u.found[name] = found
	u.foundMu.Unlock()
	go u.runRefresh()
}

// runRefresh makes a new view from the addresses known now.
func (u *Upstream) runRefresh() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return
	}
	if err := u.rebuild(); err != nil {
		u.log.Error("the addresses that DNS gave cannot be used; those from before stay", "error", err)
		return
	}
	u.retarget()
}

// rebuild makes a view of the settings and of what the names stand for. Endpoints that were there before go on as they were.
func (u *Upstream) rebuild() error {
	now := clock.Now()
	s := u.settings
	v := &view{settings: &s}
	for _, status := range s.BreakerErrors {
		v.errors[status] = true
	}
	seen := map[string]bool{}
	var members []balance.Member
	var lines []*line
	for _, configured := range s.Endpoints {
		addresses := u.addresses(configured.Address)
		if len(addresses) == 0 {
			v.missing = append(v.missing, nameOf(configured.Address))
		}
		for _, address := range addresses {
			if seen[address] {
				continue
			}
			seen[address] = true
			e := u.live[address]
			if e == nil {
				e = newEndpoint(address)
				e.health = u.group.Join(address, e.load)
				if len(u.live) > 0 {
					e.load.Up(now) // joins a running upstream: starts slowly
				}
			}
			v.endpoints = append(v.endpoints, e)
			lines = append(lines, s.lineTo(e, configured.Address))
			v.hosts = append(v.hosts, hostOf(configured.Address, s.TLS != nil))
			v.names = append(v.names, configured.Address)
			members = append(members, balance.Member{ID: address, Weight: configured.Weight, Load: e.load})
		}
	}
	var err error
	if v.balancer, err = balance.New(members, s.Balance); err != nil {
		return fmt.Errorf("upstream %s: %w", u.name, err)
	}
	for address, e := range u.live {
		if !seen[address] {
			u.group.Leave(address)
			e.line.end(IdleTimeout)
		}
	}
	u.live = map[string]*endpoint{}
	v.lines = lines
	var replaced []*line
	for i, e := range v.endpoints {
		u.live[e.address] = e
		if e.line != nil && e.line != lines[i] {
			replaced = append(replaced, e.line)
		}
		e.line = lines[i]
		e.line.set(s.Pool)
	}
	u.view.Store(v)
	for _, l := range replaced { // now that no new exchange gets to see them
		l.end(Changed)
	}
	select {
	case u.rebuilt <- struct{}{}:
	default:
	}
	return nil
}

// lineTo is the line to an endpoint under these settings: the one it has, if that will do.
func (s *Settings) lineTo(e *endpoint, configured string) *line {
	t := s.termsOf(configured)
	if e.line != nil && e.line.terms == t {
		return e.line
	}
	return newLine(e, t, s.TLS)
}

// awaitNames waits until the names that are missing have addresses, or ctx ends. Those in before were missing all along; nobody waits
// for them.
func (u *Upstream) awaitNames(ctx context.Context, before []string) {
	for slices.ContainsFunc(u.view.Load().missing, func(name string) bool { return !slices.Contains(before, name) }) {
		select {
		case <-u.rebuilt:
		case <-ctx.Done():
			return
		}
	}
}

// addresses are what a configured address stands for now.
func (u *Upstream) addresses(address string) []string {
	name := nameOf(address)
	if name == "" {
		return []string{address}
	}
	_, port, _ := net.SplitHostPort(address) // nameOf has split it already
	u.foundMu.Lock()
	defer u.foundMu.Unlock()
	var out []string
	for _, a := range u.found[name] {
		out = append(out, net.JoinHostPort(a.String(), port))
	}
	return out
}

// applyCheck starts, changes or stops the active checks.
func (u *Upstream) applyCheck() error {
	s := &u.settings
	if u.prober != nil && (s.Check == nil || !sameCheck(*s.Check, u.check) || s.Protocol != u.checked) {
		u.prober.Close()
		u.prober = nil
		if s.Check == nil {
			u.group.ForgetProbes(clock.Now())
		}
	}
	if s.Check != nil && u.prober == nil {
		check := *s.Check
		check.HTTP2 = check.HTTP2 || s.Protocol == HTTP2
		prober, err := health.NewProber(check, nil, rand.Uint64, u.probed)
		if err != nil {
			return err
		}
		u.prober, u.check, u.checked = prober, *s.Check, s.Protocol
	}
	u.retarget()
	return nil
}

func sameCheck(a, b health.Check) bool {
	same := slices.Equal(a.Expect, b.Expect)
	a.Expect, b.Expect = nil, nil
	return same && fmt.Sprint(a) == fmt.Sprint(b)
}

// retarget tells the prober which endpoints there are.
func (u *Upstream) retarget() {
	if u.prober == nil {
		return
	}
	var targets []health.Target
	for address, e := range u.live {
		targets = append(targets, health.Target{ID: address, Address: address, TLS: e.line.probing(u.settings.Check)})
	}
	u.prober.Set(targets)
}

// probed takes the result of one active check.
func (u *Upstream) probed(id string, o health.Outcome, detail string) {
	// The prober stops its goroutines with u.mu held and waits for them, so this must not take it.
	v := u.view.Load()
	for _, e := range v.endpoints {
		if e.address != id {
			continue
		}
		e.detail.Store(&detail)
		u.changed(e, e.health.Probe(clock.Now(), o), detail)
	}
}

// changed logs a change of an endpoint's state.
func (u *Upstream) changed(e *endpoint, c health.Change, detail string) {
	switch c {
	case health.None:
	case health.BecameSick, health.Ejected:
		u.log.Warn("endpoint is out", "endpoint", e.address, "change", c.String(), "detail", detail)
	case health.BecameOK:
		u.log.Info("endpoint is healthy", "endpoint", e.address, "detail", detail)
	default:
		u.log.Info("endpoint is back", "endpoint", e.address, "change", c.String(), "detail", detail)
	}
}

// close stops everything the upstream does by itself. Exchanges under way go on.
func (u *Upstream) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for _, w := range u.watches {
		w.stop()
	}
	clear(u.watches)
	if u.prober != nil {
		u.prober.Close()
		u.prober = nil
	}
	for _, e := range u.live {
		e.line.end(IdleTimeout)
	}
}
