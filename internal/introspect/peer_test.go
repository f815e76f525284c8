package introspect

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/fetch"
	"straum.dev/straum/internal/redis"
	"straum.dev/straum/internal/redistest"
)

// issuer is an authorization server that says what the test wants.
type issuer struct {
	*httptest.Server
	asked atomic.Int64
	do    atomic.Pointer[func(w http.ResponseWriter, r *http.Request)]
}

func newIssuer(t testing.TB) *issuer {
	i := &issuer{}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		_ = r.ParseForm() // also lets the server see that a client leaves
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		(*i.do.Load())(w, r)
	}))
	t.Cleanup(i.Close)
	i.says(`{"active":false}`)
	return i
}

func (i *issuer) does(f func(w http.ResponseWriter, r *http.Request)) { i.do.Store(&f) }

func (i *issuer) says(answer string) { i.status(200, answer) }

func (i *issuer) status(code int, answer string) {
	i.does(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(answer))
	})
}

// clock is a wall clock that stands still until it is moved.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Now().Truncate(time.Second).UnixNano())
	return c
}
func (c *clock) date() time.Time      { return time.Unix(0, c.at.Load()) }
func (c *clock) move(d time.Duration) { c.at.Add(int64(d)) }

type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// gateway is one that asks an issuer.
type gateway struct {
	*Source
	*clock
	log *journal
}

var secret = [32]byte{1, 2, 3}

func newGateway(t testing.TB, i *issuer, s Settings, shared Shared) *gateway {
	t.Helper()
	at, err := url.Parse(i.URL + "/introspect")
	if err != nil {
		t.Fatal(err)
	}
	s.URL = at
	if s.ClientID == "" {
		s.ClientID, s.ClientSecret = "gate way", "canary:secret"
	}
	client, err := fetch.New(fetch.Settings{MaxBody: maxAnswer, MaxConnections: 64})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{clock: newClock(), log: &journal{}}
	g.Source = New(s, secret, client, shared, slog.New(slog.NewTextHandler(g.log, nil)), g.clock.date)
	t.Cleanup(func() { g.Stop(); client.Stop() })
	return g
}

var someone = netip.MustParseAddr("192.0.2.1")

// look is what came of a token, in words.
func (g *gateway) look(token string) string { return g.lookFrom(token, someone) }

func (g *gateway) lookFrom(token string, from netip.Addr) string {
	a, err := g.Look(token, from)
	switch {
	case err != nil:
		return "! " + strings.TrimPrefix(err.Error(), "the introspection endpoint ")
	case !a.Active:
		return a.Why
	}
	return "active " + a.Subject
}

// store is a real redis-server, and a client for each gateway.
type store struct {
	*redistest.Server
	t testing.TB
}

func newStore(t testing.TB) *store {
	t.Helper()
	return &store{redistest.Start(t), t}
}

func (s *store) client() *redis.Client {
	s.t.Helper()
	// The budget is for a machine that is busy; nothing here is measured.
	c, err := redis.New(redis.Settings{Addresses: []string{s.Addr}, Budget: 250 * time.Millisecond}, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	redistest.Await(s.t, func() bool { return c.Health().OK }, "no redis")
	return c
}

func active(sub string, exp time.Time) string {
	return fmt.Sprintf(`{"active":true,"sub":%q,"exp":%d}`, sub, exp.Unix())
}
