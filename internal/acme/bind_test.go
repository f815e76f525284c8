package acme

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// BIND, where it is installed, takes our updates and believes our signature; and says no to a wrong one.
func TestDNS01ByBIND(t *testing.T) {
	named, err := exec.LookPath("named")
	if err != nil {
		t.Skip("named (Debian: bind9) is not installed")
	}
	dir := t.TempDir()
	address := freeAddress()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"named.conf": fmt.Sprintf(`
options { directory %q; listen-on port %s { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none; session-keyfile none; recursion no; dnssec-validation no; notify no; };
controls { };
key "update" { algorithm hmac-sha512; secret %q; };
zone "example.com" { type primary; file "zone"; update-policy { grant update subdomain api.example.com TXT; }; };
`, dir, port, updateSecret),
		"zone": "$TTL 1\n@ SOA ns x 1 1 1 100 1\n@ NS ns\nns A 127.0.0.1\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := exec.Command(named, "-g", "-c", filepath.Join(dir, "named.conf"))
	var said lines
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		if t.Failed() {
			t.Log(said.text())
		}
	})
	await(t, "named answers", func() bool {
		m := new(dns.Msg)
		m.SetQuestion("example.com.", dns.TypeSOA)
		r, _, err := (&dns.Client{Net: "tcp", Timeout: time.Second}).Exchange(m, address)
		return err == nil && len(r.Answer) == 1
	}, func() any { return said.text() })

	g := newGateway(t)
	a := newAuthority(t, g, month, func(a *authority) { a.resolve = address })
	g.manage("")
	s := a.settings(DNS01, "*.api.example.com")
	s.DNS = DNS{Update: &Update{Server: address, KeyName: "update", Algorithm: "hmac-sha512", Secret: "d3Jvbmc="}, resolvers: []string{address}}
	g.apply(s)
	st := g.until("*.api.example.com", "refused", func(s Status) bool { return s.State == Failed })
	if !strings.Contains(st.Error, "NOTAUTH: the secret of key update differs") {
		t.Errorf("error %q", st.Error)
	}
	s.DNS.Update = &Update{Server: address, KeyName: "update", Algorithm: "hmac-sha512", Secret: updateSecret}
	g.apply(s)
	g.until("*.api.example.com", "issued", issued)
	g.mustShow("orders.api.example.com", a.roots())
	left := new(dns.Msg)
	left.SetQuestion("_acme-challenge.api.example.com.", dns.TypeTXT)
	if r, _, err := (&dns.Client{Net: "tcp", Timeout: 5 * time.Second}).Exchange(left, address); err != nil || len(r.Answer) > 0 {
		t.Errorf("looking for what is left: %v, %v", r, err)
	}
}
