package acme

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"

	"straum.dev/straum/test/gateway"
)

// The first parts of pebble's paths, which no constant of it tells.
const (
	newAccount = "/sign-me-up"
	newOrder   = "/order-plz"
	challenge  = "/chalZ/"
	renewal    = "/draft-ietf-acme-ari-03/renewalInfo/"
)

// life is how long its certificates are good: as long as those of Let's Encrypt, so that nothing is renewed while a test runs.
const life = 90 * 24 * time.Hour

// names answers all questions of DNS. There is one for all tests: what it makes of a question hangs on a variable of the library's.
var names struct {
	*challtestsrv.ChallSrv
	once    sync.Once
	address string
}

// resolver is the address of names.
func resolver(t *testing.T) string {
	t.Helper()
	names.once.Do(func() {
		names.address = gateway.Free(t)
		var err error
		if names.ChallSrv, err = challtestsrv.New(challtestsrv.Config{Log: log.New(io.Discard, "", 0), DNSAddrs: []string{names.address}}); err != nil {
			t.Fatal(err)
		}
		names.SetDefaultDNSIPv4("127.0.0.1")
		names.SetDefaultDNSIPv6("")
		names.Run()
		gateway.Await(t, "the resolver listens", func() bool {
			c, err := net.Dial("tcp", names.address)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	})
	return names.address
}

// authority is pebble, the real thing of which Let's Encrypt's tests are made. All names lead to 127.0.0.1 for it.
type authority struct {
	t       *testing.T
	address string
	file    string // PEM: what the directory's own certificate leads to
	shown   tls.Certificate
	front   http.Handler
	root    *x509.CertPool // what its certificates lead to
	server  *http.Server

	// held are requests that wait, by the first part of their path, until the test lets them go on.
	held map[string]*gate

	asked    atomic.Int64 // requests
	accounts atomic.Int64 // made, or found again
	orders   atomic.Int64 // taken

	// due makes it wish that all certificates were renewed a minute ago, in place of when two thirds of their lives are over.
	due atomic.Bool
}

// gate holds requests up.
type gate struct {
	reached, open chan struct{}
	once          atomic.Bool
}

// newAuthority makes one that asks its questions at a gateway's two listeners. It does not listen before start.
func newAuthority(t *testing.T, plain, secure string, hold ...string) *authority {
	t.Helper()
	own := gateway.NewAuthority(t)
	a := &authority{t: t, address: gateway.Free(t), file: own.File, shown: own.Issue([]string{"127.0.0.1"}).TLS, root: x509.NewCertPool(), held: map[string]*gate{}}
	for _, path := range hold {
		a.held[path] = &gate{reached: make(chan struct{}), open: make(chan struct{})}
	}
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "as asked", ValidityPeriod: uint64(life / time.Second)}})
	a.root.AddCert(issuer.GetRootCert(0).Cert)
	checker := va.New(quiet, port(t, plain), port(t, secure), true, resolver(t), store)
	front := wfe.New(quiet, store, checker, issuer, []string{"pebble.letsencrypt.org"}, true, false, 0, 0)
	a.front = front.Handler()
	return a
}

// start listens, after newAuthority or stop. What it knew it still knows.
func (a *authority) start() {
	a.t.Helper()
	l, err := net.Listen("tcp", a.address)
	if err != nil {
		a.t.Fatal(err)
	}
	a.server = &http.Server{Handler: a, TLSConfig: &tls.Config{Certificates: []tls.Certificate{a.shown}}, ErrorLog: log.New(io.Discard, "", 0)}
	go func(s *http.Server) { _ = s.ServeTLS(l, "", "") }(a.server) // the error says that it was closed
	a.t.Cleanup(a.stop)
}

// stop ends all its connections, and nobody listens any more.
func (a *authority) stop() { _ = a.server.Close() }

// ServeHTTP counts, and holds up what is to be held up.
func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.asked.Add(1)
	for path, g := range a.held {
		if strings.HasPrefix(r.URL.Path, path) {
			if g.once.CompareAndSwap(false, true) {
				close(g.reached)
			}
			select {
			case <-g.open:
			case <-a.t.Context().Done():
				return
			}
		}
	}
	if a.due.Load() && strings.HasPrefix(r.URL.Path, renewal) {
		now := time.Now().UTC()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"suggestedWindow":{"start":%q,"end":%q}}`, now.Add(-time.Minute).Format(time.RFC3339), now.Add(-30*time.Second).Format(time.RFC3339))
		return
	}
	seen := &outcome{ResponseWriter: w, status: http.StatusOK}
	a.front.ServeHTTP(seen, r)
	if seen.status >= 300 {
		return // it finds fault with one nonce in five
	}
	switch r.URL.Path {
	case newAccount:
		a.accounts.Add(1)
	case newOrder:
		a.orders.Add(1)
	}
}

// reached waits until somebody asks for a path that is held up.
func (a *authority) reached(path string) {
	a.t.Helper()
	select {
	case <-a.held[path].reached:
	case <-time.After(gateway.Patience):
		a.t.Fatalf("nobody asked the authority for %s", path)
	}
}

// release lets go on what is held up, and what comes later.
func (a *authority) release(path string) { close(a.held[path].open) }

// outcome remembers the status of an answer.
type outcome struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (o *outcome) WriteHeader(status int) {
	o.status = status
	o.ResponseWriter.WriteHeader(status)
}

// port is the number of an address.
func port(t *testing.T, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
