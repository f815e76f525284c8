package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/cobra"

	"straum.dev/straum/internal/load"
	"straum.dev/straum/internal/load/mix"
	"straum.dev/straum/internal/load/report"
)

// names are what a resolver of tests knows.
var names = map[string][]string{
	"localhost":            {"::1", "127.0.0.1"},
	"here.example":         {"127.0.0.1"},
	"both.example":         {"203.0.113.9", "127.0.0.1"}, // somebody else says that it is us as well
	"mapped.example":       {"::ffff:127.0.0.1"},
	"elsewhere.example":    {"203.0.113.7"},
	"api.example.com":      {"203.0.113.7"},
	"a.wild.example.com":   {"203.0.113.8"},
	"wild.example.com":     {"203.0.113.8"},
	"certified.example":    {"203.0.113.8"},
	"pair.example":         {"203.0.113.8"},
	"upstream.example":     {"203.0.113.10"},
	"xn--api-example.test": {},
}

func lookup(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	all, ok := names[strings.ToLower(host)]
	if !ok {
		return nil, errors.New("no such host")
	}
	var out []netip.Addr
	for _, a := range all {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, nil
}

// flagsOf are the flags of straum load as a command line sets them.
func flagsOf(t *testing.T, args ...string) *targetFlags {
	t.Helper()
	c := &cobra.Command{}
	f := addTargetFlags(c)
	f.lookup = lookup
	if err := c.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return f
}

const loaded = `
listeners:
  - address: 203.0.113.7:8443
  - address: :8080
  - address: 127.0.0.1:443
    tls: { auto: { names: [certified.example] }, certificates: [{ cert: pair.pem, key: pair.key }] }
upstreams: { app: { endpoints: ["upstream.example:80"] } }
routes:
  - { match: { host: [api.example.com, "*.wild.example.com"], path: /* }, upstream: app }
log: { access: { to: off } }
state: %s
`

// Load goes where it may, and nowhere else; what is connected to is an address that was judged.
func TestAllowed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "straum.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, loaded, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	writePair(t, filepath.Join(dir, "pair.pem"), "pair.example")
	own := ownAddress(t)
	with, without := []string{"-c", path}, []string{"-c", path, "--anywhere"}
	for _, c := range []struct {
		where string
		args  []string
		want  string // the address, or a part of the refusal behind !
	}{
		{"127.0.0.1:80", nil, "127.0.0.1:80"},
		{"127.9.9.9:80", nil, "127.9.9.9:80"},
		{"[::1]:80", nil, "[::1]:80"},
		{"0.0.0.0:80", nil, "0.0.0.0:80"},
		{"unix:/run/app.sock", nil, "unix:/run/app.sock"},
		{"unix:app.sock", nil, "!absolute"},
		{"here.example:80", nil, "127.0.0.1:80"},
		{"mapped.example:80", nil, "127.0.0.1:80"},
		{"both.example:80", nil, "127.0.0.1:80"},
		{"elsewhere.example:80", nil, "!load is not sent to elsewhere.example (203.0.113.7), which is not this box's loopback, and there is no configuration straum.yaml here"},
		{"203.0.113.7:80", nil, "!load is not sent to 203.0.113.7, which"},
		{"elsewhere.example:80", with, "!" + path + " does not name it"},
		{"elsewhere.example:80", without, "203.0.113.7:80"},
		{"api.example.com:80", with, "203.0.113.7:80"},
		{"API.example.com:80", with, "203.0.113.7:80"},
		{"a.wild.example.com:80", with, "203.0.113.8:80"},
		{"wild.example.com:80", with, "!does not name it"},
		{"certified.example:80", with, "203.0.113.8:80"},
		{"pair.example:80", with, "203.0.113.8:80"},
		{"upstream.example:80", with, "!does not name it"}, // an endpoint may be somebody else's
		{"203.0.113.7:8443", with, "203.0.113.7:8443"},
		{"203.0.113.7:8444", with, "!does not name it"},
		{"203.0.113.8:8443", with, "!does not name it"},
		{"203.0.113.8:8080", with, "!does not name it"},
		{own + ":8080", with, own + ":8080"},
		{own + ":8081", with, "!does not name it"},
		{own + ":8080", nil, "!load is not sent to"},
		{"nowhere.example:80", nil, "!the host nowhere.example cannot be resolved: no such host"},
		{"xn--api-example.test:80", nil, "!it has no address"},
		{"here.example", nil, "!allowed: host:port"},
		{"here.example:0", nil, "!allowed: host:port"},
		{":80", nil, "!allowed: host:port"},
		{"here.example:80", []string{"-c", filepath.Join(dir, "none.yaml")}, "127.0.0.1:80"}, // it is not needed
		{"elsewhere.example:80", []string{"-c", filepath.Join(dir, "none.yaml")}, "!none.yaml: cannot be read"},
	} {
		if c.where == ":8080" || c.where == ":8081" {
			continue // this box has no address but loopback
		}
		got, err := flagsOf(t, c.args...).allowed(t.Context(), c.where)
		part, refused := strings.CutPrefix(c.want, "!")
		if refused != (err != nil) || !refused && got != c.want || refused && !strings.Contains(err.Error(), part) {
			t.Errorf("%s %v: %q, %v; want %s", c.where, c.args, got, err, c.want)
		}
	}
}

// writePair writes a certificate for a name, in PEM.
func writePair(t *testing.T, path, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ownAddress is an address of this box that is not loopback; empty when it has none.
func ownAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr().String()
		}
	}
	return ""
}

// Of the addresses of a name that one is taken where somebody listens.
func TestReachable(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	got, err := flagsOf(t).allowed(t.Context(), "localhost:"+port) // whose first address is ::1
	if err != nil || got != ln.Addr().String() {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTarget(t *testing.T) {
	for _, c := range []struct {
		url  string
		args []string
		want string
	}{
		{"http://127.0.0.1:8080/a?b=c", nil, "http://127.0.0.1:8080/a?b=c at 127.0.0.1:8080 for 127.0.0.1:8080 /a?b=c"},
		{"127.0.0.1:8080", nil, "http://127.0.0.1:8080/ at 127.0.0.1:8080 for 127.0.0.1:8080 /"},
		{"here.example/a", nil, "http://here.example/a at 127.0.0.1:80 for here.example /a"},
		{"https://here.example", nil, "https://here.example/ at 127.0.0.1:443 for here.example / tls here.example"},
		{"https://elsewhere.example/a", []string{"--to", "127.0.0.1:8443"}, "https://elsewhere.example/a at 127.0.0.1:8443 for elsewhere.example /a tls elsewhere.example"},
		{"https://127.0.0.1:8443/a", []string{"--host", "api.example.com:8443"}, "https://127.0.0.1:8443/a at 127.0.0.1:8443 for api.example.com:8443 /a tls api.example.com"},
		{"https://[::1]:8443/a", nil, "https://[::1]:8443/a at [::1]:8443 for [::1]:8443 /a tls ::1"},
		{"unix:/run/app.sock", nil, "unix:/run/app.sock at unix:/run/app.sock for localhost /"},
		{"http://localhost/a", []string{"--to", "unix:/run/app.sock"}, "http://localhost/a at unix:/run/app.sock for localhost /a"},
		{"unix:app.sock", nil, "!unix:/path of a socket"},
		{"ftp://127.0.0.1/", nil, `!found the scheme "ftp"`},
		{"http:///a", nil, "!has no host"},
		{"http://u:very-secret@127.0.0.1/", nil, "!a user or a password"},
		{"http://127.0.0.1/#a", nil, "!a fragment (#a)"},
		{"http://127.0.0.1:x/", nil, "!is no URL"},
		{"http://127.0.0.1/", []string{"--insecure"}, "!are about certificates"},
		{"https://127.0.0.1/", []string{"--ca", "/nowhere"}, "!--ca: open /nowhere"},
		{"http://203.0.113.7/", []string{"--host", "localhost"}, "!load is not sent to 203.0.113.7"}, // a name asked for permits nothing
	} {
		got, err := flagsOf(t, c.args...).target(t.Context(), c.url, false)
		part, refused := strings.CutPrefix(c.want, "!")
		if refused {
			if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "very-secret") {
				t.Errorf("%s %v: %v, want %s", c.url, c.args, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %v: %v", c.url, c.args, err)
			continue
		}
		text := fmt.Sprintf("%s at %s for %s %s", got, got.address, got.host, got.path())
		if got.tls != nil {
			text += " tls " + got.tls.ServerName
		}
		if text != c.want {
			t.Errorf("%s %v: %s, want %s", c.url, c.args, text, c.want)
		}
	}
}

func TestRates(t *testing.T) {
	m := &mix.Mix{Mean: 12.5, Busiest: 40}
	for _, c := range []struct {
		text string
		mix  *mix.Mix
		want []float64
	}{
		{"", m, []float64{0}},
		{"1000", m, []float64{1000}},
		{"500, 1000,2000/s", m, []float64{500, 1000, 2000}},
		{"log,log-peak", m, []float64{12.5, 40}},
		{"log", &mix.Mix{}, nil},
		{"0", m, nil}, {"-1", m, nil}, {"NaN", m, nil}, {"+Inf", m, nil}, {"a", m, nil}, {"1,,2", m, nil},
		{strings.Repeat("1,", 40) + "1", m, nil},
	} {
		got, err := ratesOf(c.text, c.mix)
		if !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%q: %v, %v; want %v", c.text, got, err, c.want)
		}
	}
}

func TestProgress(t *testing.T) {
	p := load.Progress{Elapsed: 3 * time.Second, Total: 12 * time.Second, Rate: 998.4}
	if got := progressText(p, true); got != "[==        ] 3s/12s 998/s warming up" {
		t.Errorf("%q", got)
	}
	p.Warm, p.Done, p.P50, p.P95, p.P99 = true, 1000, 812*time.Microsecond, 2*time.Millisecond, 1200*time.Millisecond
	if got := progressText(p, true); got != "[==        ] 3s/12s 998/s p50 812µs p95 2.00ms p99 1.20s" {
		t.Errorf("%q", got)
	}
	p.Failed, p.Total, p.Elapsed = 1_000_000, 24*time.Hour, 24*time.Hour
	if got := progressText(p, true); len([]rune(got)) > 79 || !strings.HasSuffix(got, "1000000 failed") {
		t.Errorf("%q has %d characters", got, len([]rune(got)))
	}
	// On a terminal the line is drawn anew, and taken away at the end.
	var drawn strings.Builder
	line := &progressLine{w: &drawn, terminal: true}
	line.tell(load.Progress{Elapsed: time.Second, Total: 2 * time.Second})
	line.tell(load.Progress{Elapsed: 2 * time.Second, Total: 2 * time.Second})
	line.end()
	if got := drawn.String(); got != "\r\033[K[=====     ] 1s/2s 0/s warming up\r\033[K[==========] 2s/2s 0/s warming up\r\033[K" {
		t.Errorf("%q", got)
	}
	// What is no terminal gets a line every five seconds.
	var b strings.Builder
	l := &progressLine{w: &b}
	l.begin(1000, true)
	for s := range 48 {
		l.tell(load.Progress{Elapsed: time.Duration(s) * time.Second / 4, Total: 12 * time.Second, Warm: true})
	}
	l.end()
	if got := b.String(); strings.Count(got, "\n") != 2 || strings.ContainsAny(got, "\r\033") || !strings.HasPrefix(got, "1000/s: 5s/12s") {
		t.Errorf("%q", got)
	}
}

// Header fields are read as curl reads them; what is no field is not told again, since it may be a secret.
func TestRequestFlags(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "GET /"},
		{[]string{"--body", "a"}, "POST / a"},
		{[]string{"--body", "a", "-X", "PUT"}, "PUT / a"},
		{[]string{"-H", "X-A: b", "-H", "X-C:d:e"}, "GET / X-A=b X-C=d:e"},
		{[]string{"-H", "very-secret"}, "!no colon"},
		{[]string{"-H", "Host: a"}, "!given by --host"},
		{[]string{"-H", "content-length: 1"}, "!it follows from the body"},
		{[]string{"--body", "a", "--body-file", "b"}, "!give one of them"},
		{[]string{"--body-file", "/nowhere"}, "!no such file"},
		{[]string{"--mix", "a", "--log", "b"}, "!give one of them"},
		{[]string{"--mix", "a", "-X", "PUT"}, "!--method is about a single request"},
		{[]string{"--mix", "/nowhere"}, "!/nowhere: cannot be read"},
		{[]string{"--log", "/nowhere"}, "!--log /nowhere: open"},
	} {
		cmd := &cobra.Command{}
		f := addRequestFlags(cmd)
		if err := cmd.ParseFlags(c.args); err != nil {
			t.Fatal(err)
		}
		target, err := flagsOf(t).target(t.Context(), "http://127.0.0.1/", false)
		if err != nil {
			t.Fatal(err)
		}
		m, err := f.requests(target)
		part, refused := strings.CutPrefix(c.want, "!")
		if refused {
			if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "very-secret") {
				t.Errorf("%v: %v, want %s", c.args, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", c.args, err)
			continue
		}
		q := m.Requests[0]
		text := q.Method + " " + q.Target
		for _, field := range q.Fields {
			text += " " + field.Name + "=" + field.Value
		}
		if q.Body != nil {
			text += " " + string(q.Body)
		}
		if text != c.want {
			t.Errorf("%v: %s, want %s", c.args, text, c.want)
		}
	}
}

// The commands that the help and docs/load.md show have the flags that there are.
func TestLoadCommandsAreRight(t *testing.T) {
	shown := newLoad().Example
	for line := range strings.Lines(read(t, "../../docs/load.md")) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			shown += "\n" + command
		}
	}
	n := 0
	for line := range strings.Lines(shown) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "straum" || words[1] != "load" {
			continue
		}
		n++
		if err := newLoad().ParseFlags(words[2:]); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if n < 6 {
		t.Errorf("found %d commands", n)
	}
}

// A request without an answer took longer than any bound: p99 does not look fine because the slowest are missing from it.
func TestBoundOfP99CountsTheUnanswered(t *testing.T) {
	f := &loadFlags{maxP99: time.Second}
	r := &report.Report{Runs: []report.Run{{Plan: &load.Plan{}, Result: &load.Result{Done: 9900, Latency: hdrhistogram.New(1, 60e6, 3), Errors: map[load.Failure]uint64{}}}}}
	_ = r.Runs[0].Result.Latency.RecordValues(1000, 9900)
	for unanswered, want := range map[uint64]string{0: "", 50: "", 100: "1.0% of the requests got no answer"} {
		r.Runs[0].Result.Errors[load.TimedOut] = unanswered
		if err := f.judge(r, 1); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d of them: %v", unanswered, err)
		}
	}
}
