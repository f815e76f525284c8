package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/internal/control/revision"
)

// lines is a log that may be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// house is a gateway in this process, with a directory for its files.
type house struct {
	*gateway
	dir string
	log *lines
}

// lodge starts a gateway with a configuration, in which DIR stands for its directory; files says what is put there first.
func lodge(t *testing.T, text string, files func(dir string)) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "straum") // with a short name, as sockets need
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &house{dir: dir, log: &lines{}}
	if files != nil {
		files(dir)
	}
	h.write(t, text)
	source := revision.File(filepath.Join(dir, "straum.yaml"))
	first, _, err := judge(source)
	if err != nil {
		t.Fatal(err)
	}
	if h.gateway, err = assemble(first, source, h.log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.close(expired()) })
	if _, err := h.revisions.Reload("start"); err != nil {
		t.Fatal(err)
	}
	return h
}

// write writes the configuration.
func (h *house) write(t *testing.T, text string) {
	t.Helper()
	text = strings.ReplaceAll(text, "DIR", h.dir) + "metrics: off\nlog: { access: { to: off } }\nstate: " + h.dir + "/state\nadmin: { socket: " + h.dir + "/admin.sock }\n"
	if err := os.WriteFile(filepath.Join(h.dir, "straum.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// answers wants metrics, status and certificates told, and says who is asked in vain.
func (h *house) answers(t *testing.T) {
	t.Helper()
	for name, ask := range map[string]func() string{
		"metrics":             func() string { return exposition(t, h.gateway) },
		"straum status":       func() string { return runCommand([]string{"status", "--socket", h.dir + "/admin.sock"}) },
		"straum certificates": func() string { return runCommand([]string{"certificates", "--socket", h.dir + "/admin.sock"}) },
		"a challenge":         func() string { _ = h.secure.challenge(); return "certificate" },
	} {
		told := make(chan string, 1)
		go func() { told <- ask() }()
		select {
		case text := <-told:
			if !strings.Contains(text, "certificate") {
				t.Errorf("%s: %s", name, text)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: no answer", name)
		}
	}
}

const secured = "listeners: [ { name: public, address: 127.0.0.1:0, tls: { certificates: [ { cert: api.crt, key: api.key } ] } } ]\n" +
	"upstreams: { orders: { endpoints: [127.0.0.1:1] } }\nroutes: [ { match: { path: /* }, upstream: orders } ]\n"

// However long the files of a revision take to be read, those who look after the gateway are answered.
func TestStatusWhileARevisionIsPrepared(t *testing.T) {
	h := lodge(t, secured, func(dir string) { issue(t, dir, "api", "api.example.com") })
	h.secure.mu.Lock() // as it is held while a disk does not answer
	defer h.secure.mu.Unlock()
	h.answers(t)
}

// What is no file of bytes is refused at once and never waited for.
func TestACertificateThatIsAPipe(t *testing.T) {
	h := lodge(t, secured, func(dir string) { issue(t, dir, "api", "api.example.com") })
	pipe := filepath.Join(h.dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		strings.Replace(secured, "api.crt", "pipe", 1),
		strings.Replace(secured, "api.key", "pipe", 1),
		strings.Replace(secured, "api.key } ]", "api.key } ], client: { ca: pipe }", 1),
		strings.Replace(secured, "127.0.0.1:1] }", "127.0.0.1:1], tls: { ca: pipe } }", 1),
		strings.Replace(secured, "127.0.0.1:1] }", "127.0.0.1:1], tls: { cert: pipe, key: api.key } }", 1),
		secured + "acme: { directory: \"https://127.0.0.1:1/directory\", ca: pipe }\n",
	} {
		h.write(t, text)
		done := make(chan error, 1)
		go func() { _, err := h.revisions.Reload("test"); done <- err }()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "not a regular file") {
				t.Errorf("%s: %v", text, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the load waits for the pipe", text)
			h.answers(t)
			if w, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
				w.Close() // the load goes on
			}
			<-done
		}
	}
	h.answers(t)
}

// authority writes the certificate of an authority; its key is thrown away.
func authority(t *testing.T, file string) { vouch(t, file, true) }

// vouch writes a certificate that has signed itself and says whether it is an authority's.
func vouch(t *testing.T, file string, authority bool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: filepath.Base(file)}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: authority}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// force is what the upstream's endpoints are trusted by, and how their trust was made.
func (h *house) force(t *testing.T) *trusted {
	t.Helper()
	h.secure.mu.Lock()
	defer h.secure.mu.Unlock()
	if n := len(h.secure.now.trusts); n != 1 || h.secure.next != nil {
		t.Fatalf("%d trusts in force, next %v", n, h.secure.next)
	}
	for _, one := range h.secure.now.trusts {
		return one
	}
	return nil
}

// A revision that is refused leaves the one in force whole, whatever has become of the files that one was made from.
func TestARefusedRevisionLeavesTheOtherWhole(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	text := func(ca, more string) string {
		return "listeners: [ { name: public, address: 127.0.0.1:0, tls: { certificates: [ { cert: api.crt, key: api.key } ], client: { ca: " + ca + ", mode: optional } } }" + more + " ]\n" +
			"upstreams: { orders: { endpoints: [127.0.0.1:1], tls: { ca: " + ca + ", cert: own.crt, key: own.key } } }\nroutes: [ { match: { path: /* }, upstream: orders } ]\n"
	}
	for _, c := range []struct {
		name, text string
		files      func(t *testing.T, dir string)
	}{
		{"its authorities are gone, and a listener cannot open", text("ca2.pem", ", { name: second, address: "+taken.Addr().String()+" }"),
			func(t *testing.T, dir string) {
				authority(t, filepath.Join(dir, "ca2.pem"))
				os.Remove(filepath.Join(dir, "ca1.pem"))
			}},
		{"its authorities are others, and a listener cannot open", text("ca1.pem", ", { name: second, address: "+taken.Addr().String()+" }"),
			func(t *testing.T, dir string) { authority(t, filepath.Join(dir, "ca1.pem")) }},
		{"its authorities are others, and the log cannot be opened", strings.Replace(text("ca1.pem", ""), "name: public", "name: other", 1) + "# LOG\n",
			func(t *testing.T, dir string) { authority(t, filepath.Join(dir, "ca1.pem")) }},
		{"its authorities are others, and another upstream's are missing", strings.Replace(text("ca1.pem", ""), "upstreams: {", "upstreams: { aaa: { endpoints: [127.0.0.1:2], tls: { ca: none.pem } },", 1),
			func(t *testing.T, dir string) { authority(t, filepath.Join(dir, "ca1.pem")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := lodge(t, text("ca1.pem", ""), func(dir string) {
				issue(t, dir, "api", "api.example.com")
				issue(t, dir, "own")
				authority(t, filepath.Join(dir, "ca1.pem"))
			})
			before, state := h.force(t), h.secure.status()
			c.files(t, h.dir)
			h.write(t, c.text)
			if strings.HasSuffix(c.text, "# LOG\n") {
				name := filepath.Join(h.dir, "straum.yaml")
				whole, _ := os.ReadFile(name)
				if err := os.WriteFile(name, bytes.Replace(whole, []byte("to: off"), []byte("to: "+h.dir+"/no/such/place"), 1), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := h.revisions.Reload("test"); err == nil {
				t.Fatal("accepted")
			}
			if log := h.log.String(); strings.Contains(log, "changed back") || !strings.Contains(log, `"still_in_force":1`) {
				t.Error(log)
			}
			after := h.force(t)
			if after != before {
				t.Error("another trust is in force")
			}
			if now := h.secure.status(); len(now.Files) != len(state.Files) || now.Tickets.Configs != state.Tickets.Configs {
				t.Errorf("%+v\nwas\n%+v", now, state)
			}

			// The client's certificate that is in force still follows its files.
			was := after.own.Default()
			issue(t, h.dir, "own")
			h.secure.certificates.Check()
			if bytes.Equal(after.own.Default().Certificate[0], was.Certificate[0]) {
				t.Error("the certificate for endpoints does not follow its files")
			}
		})
	}
}

// check and run accept and refuse the same files of authorities, for the same reason at the same place.
func TestCheckAndRunJudgeAlike(t *testing.T) {
	h := lodge(t, secured, func(dir string) {
		issue(t, dir, "api", "api.example.com")
		authority(t, filepath.Join(dir, "ca.pem"))
		vouch(t, filepath.Join(dir, "directory.pem"), false) // of a private directory that vouches for itself
		both, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		key, err := os.ReadFile(filepath.Join(dir, "api.key"))
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string][]byte{"both.pem": append(both[:len(both):len(both)], key...), "empty.pem": nil, "cut.pem": both[:len(both)-40], "key.pem": key} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	for _, c := range []struct {
		file string
		good bool
	}{{"ca.pem", true}, {"both.pem", true}, {"directory.pem", true}, {"key.pem", false}, {"empty.pem", false}, {"cut.pem", false}, {"none.pem", false}} {
		h.write(t, secured+"acme: { directory: \"https://127.0.0.1:1/directory\", ca: "+c.file+" }\n")
		read, _, err := judge(revision.File(filepath.Join(h.dir, "straum.yaml")))
		if err != nil {
			t.Fatal(err)
		}
		_, checked := readable(read)
		_, ran := h.revisions.Reload("test")
		if fmt.Sprint(checked) != fmt.Sprint(ran) || (checked == nil) != c.good || checked != nil && !strings.Contains(checked.Error(), ": acme.ca: ") {
			t.Errorf("%s: check says %v, run says %v", c.file, checked, ran)
		}
	}
}

// A changed file of authorities is a change, though the text that names it is as it was: a reload that is asked for takes it over.
func TestReloadSeesChangedAuthorities(t *testing.T) {
	text := strings.Replace(secured, "] } } ]", "], client: { ca: ca.pem } } } ]", 1)
	h := lodge(t, text, func(dir string) {
		issue(t, dir, "api", "api.example.com")
		authority(t, filepath.Join(dir, "ca.pem"))
	})
	reload := func(want bool) {
		t.Helper()
		if changed, err := h.revisions.Reload("test"); err != nil || changed != want {
			t.Fatalf("changed %v, %v; want %v", changed, err, want)
		}
	}
	before := h.secure.now.configs[0].ClientCAs
	reload(false)
	authority(t, filepath.Join(h.dir, "ca.pem"))
	reload(true)
	if h.secure.now.configs[0].ClientCAs.Equal(before) {
		t.Error("the old authority still signs clients in")
	}
	if err := os.Remove(filepath.Join(h.dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.revisions.Reload("test"); err == nil {
		t.Error("a file that is gone is no change")
	}
}

func TestCheckWarns(t *testing.T) {
	text := strings.Replace(secured, "endpoints: [127.0.0.1:1]", "endpoints: [\"https://127.0.0.1:1\"], tls: { verify: false }", 1)
	h := lodge(t, text, func(dir string) { issue(t, dir, "api", "api.example.com") })
	read, _, err := judge(revision.File(filepath.Join(h.dir, "straum.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	warnings, err := readable(read)
	if err != nil || !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, "not verified") }) {
		t.Errorf("%q, %v", warnings, err)
	}
	if got := h.secure.status().Unverified; !slices.Equal(got, []string{"orders"}) {
		t.Errorf("status names %q", got)
	}
}
