// Package acme proves from outside that tls: auto obtains certificates, shows them and keeps them. The authority is pebble, which
// runs in the test's process and asks its questions at the gateway's listeners.
package acme

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(recordsAt); url != "" && len(os.Args) > 1 && os.Args[1] == recordsWord {
		os.Exit(runRecordProgram(url, os.Args[2:]))
	}
	// The authority checks at once, checks every order, and finds fault with one nonce in five.
	for key, value := range map[string]string{"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0", "PEBBLE_WFE_NONCEREJECT": "20"} {
		if err := os.Setenv(key, value); err != nil {
			panic(err)
		}
	}
	os.Exit(gateway.Main(m))
}

// site is where a gateway runs: its addresses, its state, its authority and its endpoint stay when the gateway is another.
type site struct {
	*gateway.Gateway
	ca            *authority
	t             *testing.T
	plain, secure string // addresses of its listeners
	state, socket string
	seen          *wire.Recorder
	endpoint      string
}

// newSite finds a place. hold are paths of the authority that are held up. Nothing runs yet.
func newSite(t *testing.T, hold ...string) *site {
	t.Helper()
	s := &site{t: t, plain: gateway.Free(t), secure: gateway.Free(t), seen: &wire.Recorder{}}
	dir := t.TempDir()
	s.state, s.socket = filepath.Join(dir, "state"), filepath.Join(dir, "admin", "socket")
	s.endpoint = wire.Listen(t, wire.Recording(s.seen, func(*wire.Message) string { return wire.OK("hello") })).Addr
	s.ca = newAuthority(t, s.plain, s.secure, hold...)
	return s
}

// run starts a gateway, or the next one.
func (s *site) run(config string, options ...gateway.Option) {
	s.t.Helper()
	s.Gateway = gateway.Start(s.t, config, options...)
	g := s.Gateway
	s.t.Cleanup(func() {
		if g.Logged("PRIVATE KEY") {
			s.t.Error("the log holds a private key")
		}
	})
}

// restart ends the gateway and starts the next one on the same state.
func (s *site) restart(config string) {
	s.t.Helper()
	if code := s.Stop(); code != 0 {
		s.t.Errorf("the program ended with code %d", code)
	}
	s.run(config)
}

// yaml is a configuration: a plain listener with more settings, one with TLS unless secure is empty, a route for every host, or for
// all when none is named, and the authority.
func (s *site) yaml(plain, secure, challenge string, hosts ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "listeners:\n  - { name: plain, address: %q%s }\n", s.plain, plain)
	if secure != "" {
		fmt.Fprintf(&b, "  - { name: secure, address: %q, tls: %s }\n", s.secure, secure)
	}
	fmt.Fprintf(&b, "upstreams:\n  app: { endpoints: [%q] }\nroutes:\n", s.endpoint)
	for i, host := range hosts {
		fmt.Fprintf(&b, "  - { name: r%d, match: { host: %q, path: /* }, upstream: app }\n", i, host)
	}
	if len(hosts) == 0 {
		b.WriteString("  - { name: all, match: { path: /* }, upstream: app }\n")
	}
	fmt.Fprintf(&b, "acme: { email: ops@example.com, directory: \"https://%s/dir\", ca: %q, challenges: [%s] }\n", s.ca.address, s.ca.file, challenge)
	fmt.Fprintf(&b, "admin: { socket: %q }\nstate: %q\n", s.socket, s.state)
	return b.String()
}

// redirecting is a setting of the plain listener.
func (s *site) redirecting() string { return fmt.Sprintf(", https_redirect: %d", port(s.t, s.secure)) }

// trusting is the TLS of a client that trusts the authority alone.
func (s *site) trusting(name string, protocols ...string) *tls.Config {
	return &tls.Config{RootCAs: s.ca.root, ServerName: name, NextProtos: protocols}
}

// shake makes a connection with TLS.
func (s *site) shake(config *tls.Config) (*tls.Conn, error) {
	return tls.DialWithDialer(&net.Dialer{Timeout: gateway.Patience}, "tcp", s.secure, config)
}

// shown is the certificate for a name, which must be good.
func (s *site) shown(name string) *x509.Certificate {
	s.t.Helper()
	c, err := s.shake(s.trusting(name))
	if err != nil {
		s.t.Fatalf("a handshake for %s: %v", name, err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// refused checks that a handshake fails, and that it is the gateway that says so.
func (s *site) refused(config *tls.Config) {
	s.t.Helper()
	c, err := s.shake(config)
	if err == nil {
		// With TLS 1.3 the client may think that all is well before the gateway has had its say.
		c.SetReadDeadline(time.Now().Add(gateway.Patience))
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "remote error: tls: ") {
		s.t.Errorf("a handshake for %s with %q: %v, want an alert", config.ServerName, config.NextProtos, err)
	}
}

// serves sends a request with TLS by HTTP/1.1 or h2 on a connection of its own.
func (s *site) serves(config *tls.Config, protocol string) error {
	var is http.Protocols
	is.SetHTTP1(protocol == "HTTP/1.1")
	is.SetHTTP2(protocol == "HTTP/2.0")
	transport := &http.Transport{TLSClientConfig: config, Protocols: &is, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", s.secure)
	}}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport, Timeout: gateway.Patience}).Get("https://" + config.ServerName + "/")
	if err != nil {
		return err
	}
	r.Body.Close()
	if r.StatusCode != http.StatusOK || r.Proto != protocol {
		return fmt.Errorf("got %s by %s, want 200 by %s", r.Status, r.Proto, protocol)
	}
	return nil
}

// mustServe is serves by both protocols, where it must.
func (s *site) mustServe(name string) {
	s.t.Helper()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		if err := s.serves(s.trusting(name), protocol); err != nil {
			s.t.Errorf("%s: %v", name, err)
		}
	}
}

// plainly asks the plain listener. Redirects are not followed.
func (s *site) plainly(host, target string) *http.Response {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.plain+target, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Host = host
	r, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Body.Close()
	return r
}

// certificate is one of GET /v1/certificates.
type certificate struct {
	Names     []string   `json:"names"`
	Issuer    string     `json:"issuer"`
	Serial    string     `json:"serial"`
	NotAfter  *time.Time `json:"not_after"`
	Source    string     `json:"source"`
	State     string     `json:"state"`
	NextTry   *time.Time `json:"next_try"`
	Why       string     `json:"why"`
	Failures  int        `json:"failures"`
	Attention []string   `json:"attention"`
}

// admin asks the admin API on its socket, and tells whether there was an answer.
func (s *site) admin(path string, answer any) bool {
	client := &http.Client{Timeout: gateway.Patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}}}
	r, err := client.Get("http://localhost" + path)
	if err != nil {
		return false
	}
	defer r.Body.Close()
	return r.StatusCode == http.StatusOK && json.NewDecoder(r.Body).Decode(answer) == nil
}

// names are those with tls: auto, and their certificates.
func (s *site) names() map[string]certificate {
	var list struct{ Certificates []certificate }
	s.admin("/v1/certificates", &list)
	byName := map[string]certificate{}
	for _, c := range list.Certificates {
		if c.Source == "acme" {
			byName[strings.Join(c.Names, " ")] = c
		}
	}
	return byName
}

// until waits for a state of names. An order that fails meanwhile ends the test: the next try is minutes away.
func (s *site) until(state string, names ...string) {
	s.t.Helper()
	last := s.names()
	before := last
	defer func() {
		if s.t.Failed() {
			s.t.Logf("the names last: %+v", last)
		}
	}()
	gateway.Await(s.t, fmt.Sprintf("%s of %s", state, names), func() bool {
		last = s.names()
		for _, name := range names {
			if last[name].Failures > before[name].Failures && state != "failed" {
				s.t.Fatalf("the order for %s failed: %s", name, last[name].Attention)
			}
			if last[name].State != state {
				return false
			}
		}
		return true
	})
}

// told is what `straum certificates` prints.
func (s *site) told() string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), gateway.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, gateway.Program(s.t), "certificates", "-c", s.Config)
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		s.t.Errorf("straum certificates: %v: %s", err, errors.String())
	}
	return string(out)
}

// number checks a metric.
func (s *site) number(want float64, metric string, labels ...string) {
	s.t.Helper()
	if n := s.Number(metric, labels...); n != want {
		s.t.Errorf("%s%s is %v, want %v", metric, labels, n, want)
	}
}
