package tls

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// plainToo is a second listener, without TLS.
func plainToo(config, addr string) string {
	return strings.Replace(config, "upstreams:", fmt.Sprintf("  - { name: plain, address: %q }\nupstreams:", addr), 1)
}

// curl by all versions of HTTP and TLS.
func TestCurl(t *testing.T) {
	t.Parallel()
	a := gateway.NewAuthority(t)
	addr, plain := gateway.Free(t), gateway.Free(t)
	upload := file(t, "upload", strings.Repeat("0123456789abcdef", 1<<16))
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		p.Send("HTTP/1.1 200 OK\r\nContent-Length: " + fmt.Sprint(len(m.Body)) + "\r\nX-Method: " + m.Method() + "\r\n\r\n" + string(m.Body))
		return true
	})
	g := gateway.Start(t, plainToo(behind(addr, showing(a.Issue([]string{"localhost"}))+", hsts: 1h", endpoint.Addr), plain))
	_, port, _ := net.SplitHostPort(addr)
	for _, test := range []struct {
		args    []string
		secure  bool
		version string
	}{
		{[]string{"--http1.1"}, true, "1.1"}, {[]string{"--http2"}, true, "2"}, {[]string{"--http1.1", "--tls-max", "1.2"}, true, "1.1"},
		{[]string{"--http2", "--tls-max", "1.2"}, true, "2"}, {[]string{"--http2", "--tlsv1.3"}, true, "2"}, {[]string{"--http1.0"}, true, "1.1"},
		{[]string{"--http1.1"}, false, "1.1"}, {[]string{"--http2-prior-knowledge"}, false, "2"}, {[]string{"--http2"}, false, "1.1"}, // no upgrade to h2c
	} {
		url := "http://" + plain
		if test.secure {
			url = "https://localhost:" + port
		}
		back := filepath.Join(t.TempDir(), "back")
		head := filepath.Join(t.TempDir(), "head")
		args := append(test.args, "-sS", "--resolve", "localhost:"+port+":127.0.0.1", "--cacert", a.File, "-H", "Expect:", "-D", head, "-o", back, "-w", "%{http_code} %{http_version}",
			"--data-binary", "@"+upload, url+"/x")
		code, out := run(t, "", "curl", args...)
		if want := "200 " + test.version; code != 0 || out != want {
			t.Errorf("%s %s: %d, %s, want %s", test.args, url, code, out, want)
			continue
		}
		sent, _ := os.ReadFile(upload)
		got, _ := os.ReadFile(back)
		if !bytes.Equal(sent, got) {
			t.Errorf("%s %s: %d bytes came back, and they differ", test.args, url, len(got))
		}
		fields, _ := os.ReadFile(head)
		if has := regexp.MustCompile(`(?im)^strict-transport-security: max-age=3600\r$`).Match(fields); has != test.secure {
			t.Errorf("%s %s: Strict-Transport-Security is %v:\n%s", test.args, url, has, fields)
		}
		if test.secure { // what the gateway answers itself has it as well
			_, out := run(t, "", "curl", append(test.args, "-sS", "--resolve", "localhost:"+port+":127.0.0.1", "--cacert", a.File, "-D", "-", url+"/%2f")...)
			if !strings.Contains(strings.ToLower(out), "strict-transport-security") || !strings.Contains(out, "bad_path") {
				t.Errorf("%s: a refusal has no Strict-Transport-Security:\n%s", test.args, out)
			}
		}
	}
	for _, refused := range [][]string{{"--tls-max", "1.1", "--tlsv1.0", "--ciphers", "DEFAULT@SECLEVEL=0"}, {"--tls-max", "1.2", "--ciphers", "AES128-SHA"},
		{"--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-SHA256"}} {
		if code, out := run(t, "", "curl", append(refused, "-sSk", "https://"+addr)...); code != 35 { // CURLE_SSL_CONNECT_ERROR
			t.Errorf("%s: %d %s", refused, code, out)
		}
	}
	gateway.Await(t, "the metrics to tell the versions", func() bool {
		n := g.Numbers()
		for _, labels := range [][]string{{`protocol="h2"`, `tls="1.3"`}, {`protocol="h2"`, `tls="1.2"`}, {`protocol="http/1.1"`, `tls="1.2"`}, {`protocol="h2"`, `tls="none"`}} {
			if n.Sum("straum_listener_requests_total", labels...) == 0 {
				return false
			}
		}
		return true
	})
}

// A listener that redirects to https keeps host, path, query and method.
func TestRedirect(t *testing.T) {
	t.Parallel()
	a := gateway.NewAuthority(t)
	addr, plain := gateway.Free(t), gateway.Free(t)
	endpoint := wire.Listen(t, wire.Answering(wire.OK("secret")))
	_, port, _ := net.SplitHostPort(addr)
	gateway.Start(t, strings.Replace(plainToo(behind(addr, showing(a.Issue([]string{"localhost"})), endpoint.Addr), plain), "name: plain,", "name: plain, timeouts: { idle: 1s }, https_redirect: "+port+",", 1))
	// Redirected over HTTP/2 before it has sent its content, curl 7.88 sends no more of it and waits for the end of the stream, or here of the
	// connection.
	for _, version := range []string{"--http1.1", "--http2-prior-knowledge"} {
		code, out := run(t, "", "curl", version, "-sS", "-o", os.DevNull, "-w", "%{http_code} %{redirect_url}", "-X", "POST", "-d", "x", "-H", "Host: api.example:1234", "http://"+plain+"/a/b?c=d")
		if want := "308 https://api.example:" + port + "/a/b?c=d"; code != 0 || out != want {
			t.Errorf("%s: %d, %s, want %s", version, code, out, want)
		}
		code, out = run(t, "", "curl", version, "-sS", "-L", "--resolve", "localhost:"+port+":127.0.0.1", "--cacert", a.File, "-X", "POST", "-d", "x",
			"http://localhost:"+plain[strings.LastIndexByte(plain, ':')+1:]+"/")
		if code != 0 || out != "secret" {
			t.Errorf("%s: %d, %s", version, code, out)
		}
	}
}

// nghttp and h2load, which others wrote with HTTP/2 in mind.
func TestNghttp(t *testing.T) {
	t.Parallel()
	program(t, "nghttp")
	program(t, "h2load")
	a := gateway.NewAuthority(t)
	addr, plain := gateway.Free(t), gateway.Free(t)
	body := strings.Repeat("0123456789abcdef", 4096)
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		if m.Method() == "POST" {
			p.Send("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\nX-Sum: 42\r\n\r\n", len(m.Body), m.Body))
		} else {
			p.Send(wire.OK(body))
		}
		return true
	})
	g := gateway.Start(t, plainToo(behind(addr, showing(a.Issue([]string{"localhost"})), endpoint.Addr), plain))
	upload := file(t, "upload", strings.Repeat("x", 300_000))
	many, narrow, large := 4000, 400, 400 // requests
	if gateway.Race {
		many, narrow, large = 1000, 200, 100
	}
	for _, url := range []string{"https://" + addr, "http://" + plain} {
		code, out := run(t, "", "nghttp", "-nv", "--no-verify-peer", "--trailer", "x-mine: 1", "-d", upload, url+"/a", url+"/b")
		if code != 0 || strings.Count(out, ":status: 200") != 2 || strings.Count(out, "x-sum: 42") != 2 || strings.Contains(out, "RST_STREAM") {
			t.Errorf("nghttp at %s: %d\n%.5000s", url, code, out)
		}
		code, out = run(t, "", "nghttp", "-nv", "-m", "50", "--no-verify-peer", "--window-bits=10", "--connection-window-bits=12", "--header-table-size=0", "--padding=200", url+"/")
		if code != 0 || strings.Count(out, ":status: 200") != 50 {
			t.Errorf("nghttp at %s with small windows: %d\n%.5000s", url, code, out)
		}
		for _, args := range [][]string{{"-c", "8", "-m", "32", "-n", strconv.Itoa(many)}, {"-c", "2", "-m", "100", "-n", strconv.Itoa(narrow), "-w", "10", "-W", "16"},
			{"-c", "4", "-m", "10", "-n", strconv.Itoa(large), "-d", upload}} {
			code, out := run(t, "", "h2load", append(args, url+"/")...)
			n := args[5]
			if want := fmt.Sprintf("requests: %s total, %s started, %s done, %s succeeded, 0 failed, 0 errored, 0 timeout", n, n, n, n); code != 0 || !strings.Contains(out, want) {
				t.Errorf("h2load %s at %s: %d\n%s", args, url, code, out)
			}
		}
	}
	gateway.Await(t, "all to be counted", func() bool {
		return g.Number("straum_requests_total", `code="200"`) == float64(2*(2+50+many+narrow+large))
	})
}

// reused says whether s_client's session was resumed.
func reused(t *testing.T, out string) bool {
	t.Helper()
	if !served(out) {
		t.Fatalf("not served:\n%s", out)
	}
	return must(t, out, `(?m)^(New|Reused), TLS`) == "Reused"
}

// Sessions are resumed by both versions of TLS, over a reload and over a restart with the same state; and not with a state that is
// another.
func TestResumption(t *testing.T) {
	t.Parallel()
	a := gateway.NewAuthority(t)
	p := a.Issue([]string{"api.example"})
	state := t.TempDir()
	keep := "state: " + state
	f := open(t, showing(p), keep)
	config := f.config
	other := open(t, showing(p))
	sessions := map[string]string{}
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		sessions[version] = filepath.Join(t.TempDir(), "session")
		if reused(t, sclient(t, f.addr, version, "-servername", "api.example", "-sess_out", sessions[version])) {
			t.Errorf("%s: the first is not new", version)
		}
	}
	again := func(what, addr string, want bool) {
		t.Helper()
		for version, session := range sessions {
			if got := reused(t, sclient(t, addr, version, "-servername", "api.example", "-sess_in", session)); got != want {
				t.Errorf("%s %s: resumed is %v, want %v", what, version, got, want)
			}
		}
	}
	again("at once", f.addr, true)
	gateway.Await(t, "the metrics to tell", func() bool {
		return f.Number("straum_tls_handshakes_total", `outcome="resumed"`) == 2 && f.Number("straum_tls_handshakes_total", `outcome="full"`) == 2
	})
	again("elsewhere", other.addr, false)
	if err := f.Reload(config + "\nshutdown: { drain: 1s }\n"); err != nil {
		t.Fatal(err)
	}
	again("after a reload", f.addr, true)
	a.IssueTo(p, []string{"api.example"})
	gateway.Await(t, "the new certificate", func() bool { return serial(t, a, f.addr) == p.Serial })
	again("after a swap of the certificate", f.addr, true)
	if code := f.Stop(); code != 0 {
		t.Fatalf("the exit code is %d", code)
	}
	f.Gateway = gateway.Start(t, config)
	again("after a restart", f.addr, true)
	entries, err := os.ReadDir(state)
	if err != nil || len(entries) == 0 {
		t.Fatalf("nothing is kept: %v", err)
	}
	filepath.WalkDir(state, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			t.Error(err)
			return nil
		}
		if info, err := d.Info(); err != nil || path != state && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s can be read by others: %v", path, err)
		}
		return nil
	})
	f.Stop()
	f.Gateway = gateway.Start(t, strings.Replace(config, keep, "state: "+t.TempDir(), 1))
	again("with another state", f.addr, false)
}

// Client certificates: required, optional, good and bad, and in resumed sessions.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	a, strangers := gateway.NewAuthority(t), gateway.NewAuthority(t)
	p := a.Issue([]string{"api.example"})
	own, foreign, late := a.Issue([]string{"client"}), strangers.Issue([]string{"stranger"}), a.Issue([]string{"late"}, gateway.Until(time.Now().Add(-time.Minute)))
	for mode, anonymous := range map[string]bool{"required": false, "optional": true} {
		f := open(t, showing(p)+fmt.Sprintf(", client: { ca: %q, mode: %s }", a.File, mode))
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			for _, test := range []struct {
				name string
				pair *gateway.Pair
				good bool
			}{{"none", nil, anonymous}, {"good", own, true}, {"of strangers", foreign, false}, {"expired", late, false}} {
				args := []string{version, "-servername", "api.example"}
				if test.pair != nil {
					args = append(args, "-cert", test.pair.Cert, "-key", test.pair.Key)
				}
				out := sclient(t, f.addr, args...)
				if got := served(out); got != test.good {
					t.Errorf("%s, %s, %s: served is %v, want %v\n%s", mode, version, test.name, got, test.good, out)
				}
				if !test.good && !regexp.MustCompile(`alert (certificate required|bad certificate|unknown ca|certificate expired|handshake failure|certificate unknown)`).MatchString(out) {
					t.Errorf("%s, %s, %s: no alert tells:\n%s", mode, version, test.name, out)
				}
			}
			session := filepath.Join(t.TempDir(), "session")
			with := []string{version, "-servername", "api.example", "-cert", own.Cert, "-key", own.Key}
			if reused(t, sclient(t, f.addr, append(with, "-sess_out", session)...)) {
				t.Error("the first is not new")
			}
			if !reused(t, sclient(t, f.addr, version, "-servername", "api.example", "-sess_in", session)) {
				t.Errorf("%s, %s: a session with a certificate is not resumed", mode, version)
			}
			// The rules have changed: what was proven to the old ones counts no more.
			if version == "-tls1_3" {
				if err := f.Reload(strings.Replace(f.config, a.File, strangers.File, 1)); err != nil {
					t.Fatal(err)
				}
				out := sclient(t, f.addr, version, "-servername", "api.example", "-sess_in", session)
				if anonymous && reused(t, out) || !anonymous && served(out) {
					t.Errorf("%s: a session of clients that are trusted no more is resumed", mode)
				}
			}
		}
	}
}

// A certificate without clientAuth is none of a client, and one chain of several issuers is.
func TestClientCertificateOverHTTP2(t *testing.T) {
	t.Parallel()
	a := gateway.NewAuthority(t)
	f := open(t, showing(a.Issue([]string{"api.example"}))+fmt.Sprintf(", client: { ca: %q }", a.File))
	own := a.Issue([]string{"client"})
	config := a.Trusting("api.example")
	config.Certificates = []tls.Certificate{own.TLS}
	s := wire.DialStreams(t, f.addr, config)
	if m, err := s.Get("/"); err != nil || wire.Status(m) != 200 {
		t.Errorf("%v, %v", m, err)
	}
}

// An answer of the certificate's responder is stapled, a good one and one that it is revoked.
func TestStapling(t *testing.T) {
	t.Parallel()
	path := program(t, "openssl")
	a := gateway.NewAuthority(t)
	at := gateway.Free(t)
	named, silent := a.Issue([]string{"api.example"}, gateway.Responder("http://"+at)), a.Issue([]string{"silent.example"})
	// The responder knows one certificate, by openssl's list of what it has issued.
	index := file(t, "index.txt", fmt.Sprintf("V\t%s\t\t%s\tunknown\t/CN=api.example\n", named.TLS.Leaf.NotAfter.UTC().Format("060102150405Z"), named.Serial))
	if err := os.WriteFile(index+".attr", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(at)
	responder := exec.Command(path, "ocsp", "-index", index, "-port", port, "-rsigner", a.File, "-rkey", a.KeyFile(), "-CA", a.File, "-ndays", "1")
	said := new(output)
	responder.Stdout, responder.Stderr = said, said
	if err := gateway.Spawn(responder); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		responder.Process.Kill() // it does not end by itself
		responder.Wait()
	})
	gateway.Await(t, "the responder listens", func() bool { return strings.Contains(said.String(), "waiting for") })
	f := open(t, showing(named, silent), "state: "+t.TempDir())
	gateway.Await(t, "an answer is stapled", func() bool { return f.Number("straum_tls_certificate_stapled") == 1 })
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		out := sclient(t, f.addr, version, "-servername", "api.example", "-status", "-CAfile", a.File)
		if !served(out) || !strings.Contains(out, "OCSP Response Status: successful") || !strings.Contains(out, "Cert Status: good") {
			t.Errorf("%s:\n%s\nthe responder said:\n%s", version, out, said.String())
		}
		out = sclient(t, f.addr, version, "-servername", "silent.example", "-status")
		if !served(out) || !strings.Contains(out, "OCSP response: no response sent") {
			t.Errorf("%s: a certificate that names no responder:\n%s", version, out)
		}
	}
}

// What the access log and the endpoint are told of TLS.
func TestTold(t *testing.T) {
	t.Parallel()
	a := gateway.NewAuthority(t)
	f := open(t, showing(a.Issue([]string{"api.example"})))
	if out := sclient(t, f.addr, "-servername", "api.example"); !served(out) {
		t.Fatal(out)
	}
	m := f.seen.One(t)
	if m.Get("X-Forwarded-Proto") != "https" || m.Get("Forwarded") != "for=127.0.0.1;proto=https" || m.Get("X-Forwarded-Port") != f.addr[strings.LastIndexByte(f.addr, ':')+1:] {
		t.Errorf("the endpoint got %s", m)
	}
	l := f.AwaitAccess("the request's", func(l gateway.Line) bool { return l.Text("listener") == "secure" })
	if text, _ := json.Marshal(l); l.Number("status") != 200 {
		t.Errorf("the line is %s", text)
	}
}
