package profile

import (
	"crypto/tls"
	"crypto/x509"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// openssl runs a client that shakes hands and waits for the other side to close.
func openssl(t testing.TB, address string, arguments ...string) string {
	t.Helper()
	cmd := exec.Command("openssl", append([]string{"s_client", "-connect", address, "-servername", "a.example", "-ign_eof"}, arguments...)...)
	cmd.Stdin = strings.NewReader("")
	out, _ := cmd.CombinedOutput() // its code says little
	return string(out)
}

// What the profiles offer and refuse, asked by a real client. Its security level is lowered where it would not ask.
func TestProfiles(t *testing.T) {
	const weak = "@SECLEVEL=0"
	for _, c := range []struct {
		name                 string
		arguments            string
		intermediate, modern bool
	}{
		{"TLS 1.3", "-tls1_3", true, true},
		{"TLS 1.2", "-tls1_2", true, false},
		{"TLS 1.1", "-tls1_1 -cipher DEFAULT" + weak, false, false},
		{"TLS 1.0", "-tls1 -cipher DEFAULT" + weak, false, false},
		{"AES-128-GCM", "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256", true, false},
		{"AES-256-GCM", "-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384", true, false},
		{"ChaCha20", "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305", true, false},
		{"CBC", "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA256" + weak, false, false},
		{"CCM", "-tls1_2 -cipher ECDHE-ECDSA-AES128-CCM8" + weak, false, false},
		{"no forward secrecy", "-tls1_2 -cipher AES128-GCM-SHA256:AES128-SHA" + weak, false, false},
		{"DHE", "-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256" + weak, false, false},
		{"X25519", "-groups X25519", true, true},
		{"P-256", "-groups P-256", true, true},
		{"P-384", "-groups P-384", true, true},
		{"P-521", "-groups P-521", false, false},
		{"h2", "-alpn h2,http/1.1", true, true},
		{"another protocol", "-alpn spdy/3", false, false},
		{"SHA-1", "-tls1_2 -sigalgs ECDSA+SHA1 -cipher DEFAULT" + weak, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for profile, want := range map[Profile]bool{Intermediate: c.intermediate, Modern: c.modern} {
				address, outcomes := served(t, server(t, Settings{Profile: profile, Protocols: []string{"h2", "http/1.1"}}))
				out := openssl(t, address, strings.Fields(c.arguments)...)
				o := <-outcomes
				if (o.err == nil) != want {
					t.Errorf("profile %d: %v\n%s", profile, o.err, out)
				}
				if c.name == "h2" && o.state.NegotiatedProtocol != "h2" {
					t.Errorf("the protocol is %q", o.state.NegotiatedProtocol)
				}
			}
		})
	}
}

// openssl 3.0 does not know the hybrid group, so crypto/tls has to be both sides.
func TestPostQuantum(t *testing.T) {
	for _, on := range []bool{false, true} {
		address, outcomes := served(t, server(t, Settings{PostQuantum: on}))
		nc, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}})
		if err == nil {
			nc.Close()
		}
		if (err == nil) != on || ((<-outcomes).err == nil) != on {
			t.Errorf("on is %v: %v", on, err)
		}
		nc, err = tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
		<-outcomes
		if got := nc.ConnectionState().CurveID; (got == tls.X25519MLKEM768) != on {
			t.Errorf("on is %v: a client of today gets %v", on, got)
		}
	}
}

// Who may come in, and who he is then.
func TestClientAuth(t *testing.T) {
	ours, others := issue(t, nil, "ours", authority), issue(t, nil, "others", authority)
	good := issue(t, ours, "good", forClient)
	clients := map[string]*party{
		"nobody":      nil,
		"good":        good,
		"any purpose": issue(t, ours, "any purpose", nil),
		"of others":   issue(t, others, "of others", forClient),
		"expired":     issue(t, ours, "expired", func(c *x509.Certificate) { forClient(c); c.NotAfter = time.Now().Add(-time.Minute) }),
		"a server's":  issue(t, ours, "a server's", forServer),
		"his own":     issue(t, nil, "his own", forClient),
	}
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		for mode, allowed := range map[ClientAuth]string{
			ClientNone:     "nobody good any purpose of others expired a server's his own",
			ClientOptional: "nobody good any purpose",
			ClientRequired: "good any purpose",
		} {
			address, outcomes := served(t, server(t, Settings{Client: mode, Authorities: ours.authorities(t)}))
			for name, client := range clients {
				arguments := []string{version}
				if client != nil {
					cert, key := client.files(t)
					arguments = append(arguments, "-cert", cert, "-key", key)
				}
				out := openssl(t, address, arguments...)
				o := <-outcomes
				if want := strings.Contains(allowed, name); (o.err == nil) != want {
					t.Errorf("%s, mode %d, %s: %v\n%s", version, mode, name, o.err, out)
				}
				if o.err != nil {
					continue
				}
				who := o.state.PeerCertificates
				if want := mode != ClientNone && client != nil; (len(o.state.VerifiedChains) > 0) != want || (len(who) > 0) != want || want && who[0].Subject.CommonName != name {
					t.Errorf("%s, mode %d, %s: the client is %v", version, mode, name, who)
				}
			}
		}
	}
}

// A session that began with a client's certificate is resumed while the certificate is good, and the identity with it.
func TestResumedClient(t *testing.T) {
	ours := issue(t, nil, "ours", authority)
	between := issue(t, ours, "between", authority)
	client := issue(t, between, "good", forClient)
	for version, name := range map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"} {
		var late atomic.Bool
		address, outcomes := served(t, server(t, Settings{Client: ClientRequired, Authorities: ours.authorities(t), Now: func() time.Time {
			if late.Load() {
				return client.cert.NotAfter.Add(time.Second)
			}
			return time.Now()
		}}))
		sessions := tls.NewLRUClientSessionCache(1)
		visit := func() outcome {
			t.Helper()
			nc, err := tls.Dial("tcp", address, &tls.Config{
				InsecureSkipVerify: true, ServerName: "a.example", ClientSessionCache: sessions, MaxVersion: version,
				Certificates: []tls.Certificate{*client.chain()},
			})
			if err == nil {
				nc.Read(make([]byte, 1)) // the ticket of TLS 1.3 comes after the handshake
				nc.Close()
			}
			return <-outcomes
		}
		if first := visit(); first.err != nil || first.state.DidResume {
			t.Fatalf("%s: %v", name, first.err)
		}
		second := visit()
		if second.err != nil || !second.state.DidResume || len(second.state.VerifiedChains) == 0 || second.state.PeerCertificates[0].Subject.CommonName != "good" {
			t.Errorf("%s: resumed is %v, %v", name, second.state.DidResume, second.err)
		}
		late.Store(true)
		if third := visit(); third.err == nil {
			t.Errorf("%s: came in with a session whose certificate has expired", name)
		}
	}
}

// crypto/tls looks at the dates and the root of what comes out of a ticket. Should it ever not, we do.
func TestVerifyResumed(t *testing.T) {
	ours, others := issue(t, nil, "ours", authority), issue(t, nil, "others", authority)
	between := issue(t, ours, "between", authority)
	good := issue(t, between, "good", forClient)
	now := time.Now()
	for _, c := range []struct {
		name   string
		mode   ClientAuth
		chain  []*x509.Certificate
		pass   time.Duration
		resume bool
		ok     bool
	}{
		{"good", ClientRequired, []*x509.Certificate{good.cert, between.cert}, 0, true, true},
		{"expired since", ClientRequired, []*x509.Certificate{good.cert, between.cert}, 25 * time.Hour, true, false},
		{"expired since, optional", ClientOptional, []*x509.Certificate{good.cert, between.cert}, 25 * time.Hour, true, false},
		{"of others", ClientRequired, []*x509.Certificate{issue(t, others, "of others", forClient).cert}, 0, true, false},
		{"a server's", ClientRequired, []*x509.Certificate{issue(t, ours, "a server's", forServer).cert}, 0, true, false},
		{"no chain", ClientRequired, []*x509.Certificate{good.cert}, 0, true, false},
		{"nobody", ClientRequired, nil, 0, true, false},
		{"nobody, optional", ClientOptional, nil, 0, true, true},
		{"not resumed, and so verified before", ClientRequired, []*x509.Certificate{good.cert}, 0, false, true},
	} {
		config := server(t, Settings{Client: c.mode, Authorities: ours.authorities(t), Now: func() time.Time { return now.Add(c.pass) }})
		if err := config.VerifyConnection(tls.ConnectionState{PeerCertificates: c.chain, DidResume: c.resume}); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Sessions are worth something only where the same rules for clients hold.
func TestContext(t *testing.T) {
	ours, others := issue(t, nil, "ours", authority).authorities(t), issue(t, nil, "others", authority).authorities(t)
	seen := map[string]bool{}
	for _, listener := range []string{"a", "b", "a client 1"} {
		for _, s := range []Settings{{}, {Client: ClientOptional, Authorities: ours}, {Client: ClientRequired, Authorities: ours}, {Client: ClientRequired, Authorities: others}} {
			context := s.Context(listener)
			if seen[context] {
				t.Errorf("%s is of two", context)
			}
			seen[context] = true
		}
	}
	plain := Settings{}
	if same := (&Settings{Protocols: []string{"h2"}, PostQuantum: true}); same.Context("a") != plain.Context("a") {
		t.Error("what does not matter ends sessions")
	}
}

func TestServerRefuses(t *testing.T) {
	if _, err := Server(Settings{}); err == nil {
		t.Error("no certificates were accepted")
	}
	none := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
	if _, err := Server(Settings{Certificate: none, Client: ClientOptional}); err == nil {
		t.Error("no authorities were accepted")
	}
	address, outcomes := served(t, server(t, Settings{Certificate: none}))
	if out := openssl(t, address); !strings.Contains(out, "unrecognized name") {
		t.Errorf("openssl says\n%s", out)
	}
	<-outcomes
}

func TestAuthorities(t *testing.T) {
	dir := t.TempDir()
	one, two := issue(t, nil, "one", authority), issue(t, nil, "two", authority)
	a, err := LoadAuthorities(write(t, filepath.Join(dir, "ab"), pemCerts(one.cert, two.cert)))
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range []*party{one, two} {
		if _, err := issue(t, each, "leaf", forClient).cert.Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Error(err)
		}
	}
	b, err := LoadAuthorities(write(t, filepath.Join(dir, "ba"), append([]byte("# two and one\n"), pemCerts(two.cert, one.cert)...)))
	if err != nil || a.Digest() != b.Digest() || one.authorities(t).Digest() == a.Digest() {
		t.Error("the digest depends on the order, or not on the contents")
	}
	whole := pemCerts(one.cert)
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "it holds no certificate"},
		{"half", string(whole[:len(whole)-60]), "its last block has no end"},
		{"rubbish", strings.Replace(string(whole), "MII", "AAA", 1), "block 1 cannot be read"},
		{"a leaf", string(pemCerts(one.cert, issue(t, one, "leaf", forClient).cert)), "block 2 is the certificate of CN=leaf, who is no authority; its signer is CN=one"},
		{"too large", strings.Repeat("#", maxAuthorities+1), "larger than 4194304 bytes"},
	} {
		file := write(t, filepath.Join(dir, c.name), []byte(c.text))
		if _, err := LoadAuthorities(file); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "wanted are") {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
	if _, err := LoadAuthorities(filepath.Join(dir, "missing")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("missing: %v", err)
	}
	if _, err := LoadAuthorities(dir); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory: %v", err)
	}
}

// What a private service has made for itself is taken as the root of those whom we call, and not as one who lets clients in.
func TestRoots(t *testing.T) {
	dir := t.TempDir()
	ours := issue(t, nil, "ours", authority)
	own, others := issue(t, nil, "a.example", forServer), issue(t, ours, "a.example", forServer)
	namesake := issue(t, issue(t, nil, "a.example", authority), "a.example", forServer) // its issuer has its name, and another key
	file := func(name string, all ...*x509.Certificate) string {
		return write(t, filepath.Join(dir, name), pemCerts(all...))
	}
	for _, c := range []struct {
		file             string
		authority, roots bool
	}{
		{file("authority", ours.cert), true, true},
		{file("own", own.cert), false, true},
		{file("both", ours.cert, own.cert), false, true},
		{file("others", others.cert), false, false},
		{file("namesake", namesake.cert), false, false},
	} {
		if _, err := LoadAuthorities(c.file); (err == nil) != c.authority {
			t.Errorf("%s as authorities: %v", c.file, err)
		}
		if _, err := LoadRoots(c.file); (err == nil) != c.roots {
			t.Errorf("%s as roots: %v", c.file, err)
		}
	}
	a, err := LoadRoots(filepath.Join(dir, "own"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := visit(t, endpoint(t, own), client(ClientSettings{Authorities: a}, "a.example")); err != nil {
		t.Errorf("the service itself is not trusted: %v", err)
	}
	if _, _, err := visit(t, endpoint(t, others), client(ClientSettings{Authorities: a}, "a.example")); err == nil {
		t.Error("somebody else is trusted")
	}
}

// What is no file is refused, and nobody waits for a pipe to be written to.
func TestNoRegularFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip("no pipes here:", err)
	}
	got := make(chan error)
	go func() { _, err := LoadAuthorities(name); got <- err }()
	select {
	case err := <-got:
		if err == nil || !strings.Contains(err.Error(), name+": it is not a regular file; wanted are") {
			t.Errorf("said %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("waits for somebody to write")
	}
}
