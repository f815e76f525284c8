package profile

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// endpoint runs a real server that answers with a page about the connection.
func endpoint(t *testing.T, p *party, arguments ...string) (address string) {
	t.Helper()
	cert, key := p.files(t)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "openssl", append([]string{"s_server", "-accept", "127.0.0.1:0", "-cert", cert, "-key", key, "-www"}, arguments...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); cmd.Wait() })
	scan := bufio.NewScanner(out)
	for scan.Scan() {
		if rest, ok := strings.CutPrefix(scan.Text(), "ACCEPT "); ok {
			go io.Copy(io.Discard, out)
			return rest
		}
	}
	t.Fatal("openssl s_server did not start")
	return ""
}

// client is the config of whoever dials an endpoint.
func client(s ClientSettings, name string) *tls.Config {
	config := Client(s)
	config.ServerName = name
	return config
}

// visit asks for the page.
func visit(t *testing.T, address string, config *tls.Config) (tls.ConnectionState, string, error) {
	t.Helper()
	nc, err := tls.Dial("tcp", address, config)
	if err != nil {
		return tls.ConnectionState{}, "", err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(nc, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return tls.ConnectionState{}, "", err
	}
	page, err := io.ReadAll(nc)
	if len(page) > 0 {
		err = nil // s_server does not say goodbye
	}
	return nc.ConnectionState(), string(page), err
}

func TestClientVerifies(t *testing.T) {
	ours, others := issue(t, nil, "ours", authority), issue(t, nil, "others", authority)
	good := issue(t, ours, "a.example", forServer)
	address := endpoint(t, good)
	weak := endpoint(t, good, "-tls1_1", "-cipher", "ALL@SECLEVEL=0")
	for _, c := range []struct {
		name     string
		address  string
		asked    string
		settings ClientSettings
		want     string // "" comes through
	}{
		{"good", address, "a.example", ClientSettings{Authorities: ours.authorities(t)}, ""},
		{"of another authority", address, "a.example", ClientSettings{Authorities: others.authorities(t)}, "unknown authority"},
		{"unknown to the box", address, "a.example", ClientSettings{}, "certificate"},
		{"of another name", address, "b.example", ClientSettings{Authorities: ours.authorities(t)}, "not b.example"},
		{"expired", address, "a.example", ClientSettings{Authorities: ours.authorities(t), Now: func() time.Time { return time.Now().Add(25 * time.Hour) }}, "expired"},
		{"whatever it is", address, "b.example", ClientSettings{Insecure: true}, ""},
		{"TLS 1.1", weak, "a.example", ClientSettings{Authorities: ours.authorities(t)}, "protocol version"},
	} {
		_, _, err := visit(t, c.address, client(c.settings, c.asked))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// An endpoint that asks who we are is shown our certificate, the one that is current at the handshake.
func TestClientCertificate(t *testing.T) {
	ours := issue(t, nil, "ours", authority)
	authorityFile, _ := ours.files(t)
	address := endpoint(t, issue(t, ours, "a.example", forServer), "-CAfile", authorityFile, "-Verify", "2", "-verify_return_error")
	var own *tls.Certificate
	config := client(ClientSettings{Authorities: ours.authorities(t), Certificate: func() *tls.Certificate { return own }}, "a.example")
	config.ClientSessionCache = nil
	if _, _, err := visit(t, address, config); err == nil {
		t.Error("came in without a certificate")
	}
	for _, name := range []string{"first", "second"} {
		own = issue(t, ours, name, forClient).chain()
		if _, page, err := visit(t, address, config); err != nil || !strings.Contains(page, "CN="+name) {
			t.Errorf("%v\n%s", err, page)
		}
	}
}

func TestClientProtocols(t *testing.T) {
	ours := issue(t, nil, "ours", authority)
	address := endpoint(t, issue(t, ours, "a.example", forServer), "-alpn", "http/1.1")
	config := client(ClientSettings{Authorities: ours.authorities(t)}, "a.example")
	config.NextProtos = []string{"h2", "http/1.1"}
	cs, _, err := visit(t, address, config)
	if err != nil || cs.NegotiatedProtocol != "http/1.1" || cs.CurveID != tls.X25519 {
		t.Errorf("%v, %q over %v", err, cs.NegotiatedProtocol, cs.CurveID)
	}
}

// Sessions are resumed, as long as we are who we were when they began.
func TestClientResumes(t *testing.T) {
	ours := issue(t, nil, "ours", authority)
	p := issue(t, ours, "a.example", forServer)
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		address := endpoint(t, p, version)
		own := issue(t, ours, "first", forClient).chain()
		config := client(ClientSettings{Authorities: ours.authorities(t), Certificate: func() *tls.Certificate { return own }}, "a.example")
		see := func(resumed bool) {
			t.Helper()
			if cs, _, err := visit(t, address, config); err != nil || cs.DidResume != resumed {
				t.Errorf("%s: resumed is %v, %v", version, cs.DidResume, err)
			}
		}
		see(false)
		see(true)
		own = issue(t, ours, "second", forClient).chain()
		see(false)
		see(true)
	}
}

func TestClientSessionsAreBounded(t *testing.T) {
	c := Client(ClientSettings{})
	for i := range maxSessions + 1 {
		c.ClientSessionCache.Put(strconv.Itoa(i), new(tls.ClientSessionState))
	}
	for i, want := range map[int]bool{0: false, 1: true, maxSessions: true} {
		if _, have := c.ClientSessionCache.Get(strconv.Itoa(i)); have != want {
			t.Errorf("endpoint %d has a session: %v", i, have)
		}
	}
}
