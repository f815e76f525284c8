package staple

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What a real responder says is stapled when, and only when, it is good and signed by one who may.
func TestRealResponder(t *testing.T) {
	intermediate := func(w *world) {
		w.issuer = issue(t, w.issuer, "intermediate", 2, authority)
	}
	for _, c := range []struct {
		name      string
		set       func(*world)
		signer    func(*world) *party
		known     string
		arguments []string
		want      string // "" is stapled
	}{
		{"the authority signs", nil, nil, "V", []string{"-nmin", "60"}, ""},
		{"the authority signs and sends no certificate", nil, nil, "V", []string{"-nmin", "60", "-resp_no_certs"}, ""},
		{"it is named by its key", nil, nil, "V", []string{"-nmin", "60", "-resp_key_id"}, ""},
		{"an intermediate signs", intermediate, nil, "V", []string{"-nmin", "60"}, ""},
		{"no next update", nil, nil, "V", nil, ""},
		{"one who is appointed", nil, func(w *world) *party { return issue(t, w.issuer, "responder", 3, appointed) }, "V", []string{"-ndays", "2"}, ""},
		{"one who is not appointed", nil, func(w *world) *party { return issue(t, w.issuer, "somebody", 3, nil) }, "V", []string{"-ndays", "2"}, "not for signing answers"},
		{"one whose appointment is over", nil, func(w *world) *party {
			return issue(t, w.issuer, "responder", 3, func(c *x509.Certificate) { appointed(c); c.NotAfter = time.Now().Add(-10 * time.Minute) })
		}, "V", []string{"-ndays", "2"}, "not valid now"},
		{"one whom another appointed", nil, func(w *world) *party {
			return issue(t, issue(t, nil, "authority", 4, authority), "responder", 3, appointed)
		}, "V", []string{"-ndays", "2"}, "not appointed by the issuer"},
		{"one whom another appointed, sent without", nil, func(w *world) *party {
			return issue(t, issue(t, nil, "authority", 4, authority), "responder", 3, appointed)
		}, "V", []string{"-ndays", "2", "-resp_no_certs"}, "not signed by the issuer"},
		{"revoked", nil, nil, "R", []string{"-nmin", "60"}, "REVOKED at 2026-01-02T03:04:05Z"},
		{"unknown", nil, nil, "", []string{"-nmin", "60"}, "does not know the certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.set != nil {
				c.set(w)
			}
			signer := w.issuer
			if c.signer != nil {
				signer = c.signer(w)
			}
			known := index{}
			if c.known != "" {
				known[77] = c.known
			}
			w.responder(known, signer, c.arguments...)
			s := started(t, w.leaf(77, nil), "")
			got := s.await("answered", func(s Status) bool { return s.Asked > 0 })
			if c.want != "" {
				if got.Stapled || s.staple() != nil || !strings.Contains(got.String(), c.want) {
					t.Errorf("got %v; want %q in it", got, c.want)
				}
				return
			}
			s.await("stapled", isStapled)
			if got = s.Status("it"); !strings.HasPrefix(got.String(), "stapled, good until 20") || s.staple() == nil || got.Alarm() {
				t.Errorf("got %v", got)
			}
		})
	}
}

// A real client finds the answer in the handshake and verifies it.
func TestARealClientSeesIt(t *testing.T) {
	w := newWorld(t)
	w.responder(index{77: "V"}, w.issuer, "-nmin", "60")
	c := w.leaf(77, must)
	s := started(t, c, "")
	if got := s.Status("it"); !got.Stapled && !got.Alarm() {
		t.Error("nothing is stapled to a certificate that demands it, and that is no alarm")
	}
	s.await("stapled", isStapled)
	stapled := *c
	stapled.OCSPStaple = s.staple()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{stapled}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := l.Accept()
		if err == nil {
			nc.(*tls.Conn).Handshake()
			nc.Close()
		}
	}()
	authority, _ := w.files(w.issuer)
	cmd := exec.Command("openssl", "s_client", "-connect", l.Addr().String(), "-servername", "a.example", "-status", "-CAfile", authority, "-verify_return_error")
	cmd.Stdin = strings.NewReader("")
	out, err := cmd.CombinedOutput()
	l.Close()
	<-done
	if err != nil || !bytes.Contains(out, []byte("Cert Status: good")) || !bytes.Contains(out, []byte("OCSP Response Status: successful")) {
		t.Errorf("openssl says %v\n%s", err, out)
	}
}

// While a responder is down the last good answer stays, until shortly before it ends.
func TestResponderDown(t *testing.T) {
	w := newWorld(t)
	s := started(t, w.leaf(77, must), "")
	got := s.await("failed", hasFailed)
	if got.Stapled || got.Failures != 1 || !got.Alarm() || !strings.Contains(got.String(), "responder "+w.url+" failed: ") ||
		!strings.Contains(got.String(), "; next try "+stamp(s.clock.now().Add(time.Minute))) || !strings.Contains(got.String(), "must-staple") {
		t.Errorf("status is %v", got)
	}
	s.pass(59 * time.Second)
	if n := w.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	s.pass(2 * time.Second)
	s.await("failed again", func(s Status) bool { return s.Failures == 2 })
	if n := s.log.count("a responder failed"); n != 1 {
		t.Errorf("the log tells of one failure %d times", n)
	}

	w.responder(index{77: "V"}, w.issuer, "-nmin", "60")
	s.pass(2 * time.Minute)
	got = s.await("stapled", isStapled)
	first := s.staple()
	if got.Problem != "" || got.Failures != 0 || got.Alarm() {
		t.Errorf("status is %v", got)
	}

	w.answers(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) })
	s.clock.at.Store(got.Next.UnixNano() + 1)
	s.nudge()
	got = s.await("failed", hasFailed)
	if !got.Stapled || !bytes.Equal(s.staple(), first) || !strings.Contains(got.String(), "stapled, good until") || !strings.Contains(got.String(), "status 503") {
		t.Errorf("status is %v", got)
	}
	s.clock.at.Store(got.Until.Add(-2 * time.Minute).UnixNano())
	s.nudge()
	s.await("taken back before it ends", func(s Status) bool { return !s.Stapled })
	if s.staple() != nil {
		t.Error("an answer about to end is still shown")
	}
}

// An answer is renewed at half of its time.
func TestRenewed(t *testing.T) {
	w := newWorld(t)
	w.responder(index{77: "V"}, w.issuer, "-nmin", "60")
	s := started(t, w.leaf(77, nil), "")
	got := s.await("stapled", isStapled)
	if half := got.Until.Add(-30 * time.Minute); !got.Next.Equal(half) {
		t.Errorf("next is %v, want %v", got.Next, half)
	}
	s.pass(29 * time.Minute)
	s.pass(2 * time.Minute)
	s.await("asked again", func(s Status) bool { return s.Asked == 2 })
	if n := w.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// An answer of "revoked" takes back the good one before it.
func TestRevokedLater(t *testing.T) {
	w := newWorld(t)
	w.responder(index{77: "V"}, w.issuer, "-nmin", "60")
	dir := t.TempDir()
	s := started(t, w.leaf(77, nil), dir)
	s.await("stapled", isStapled)
	w.responder(index{77: "R"}, w.issuer, "-nmin", "60")
	s.pass(31 * time.Minute)
	got := s.await("revoked", func(s Status) bool { return !s.Stapled })
	if s.staple() != nil || !got.Alarm() || !strings.HasPrefix(got.String(), "REVOKED at 2026-01-02T03:04:05Z") || s.log.count("REVOKED") != 1 {
		t.Errorf("status is %v", got)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Error("the good answer is still kept")
	}
	w.responder(index{77: "V"}, w.issuer, "-nmin", "240")
	s.pass(61 * time.Minute)
	s.await("good again", isStapled)
}

// What comes from a responder, or whoever is in its place, is not stapled when it is no good answer to the question.
func TestBadAnswers(t *testing.T) {
	w := newWorld(t)
	w.responder(index{77: "V", 78: "V"}, w.issuer, "-nmin", "60")
	c := w.leaf(77, nil)
	own, others := w.recorded(c), w.recorded(w.leaf(78, nil))
	bent := bytes.Clone(own)
	bent[len(bent)/2] ^= 1
	redirected := false
	for _, each := range []struct {
		name    string
		pass    time.Duration
		answers http.HandlerFunc
		want    string
	}{
		{"about another certificate", 0, replay(others), "no response matching"},
		{"expired", 61 * time.Minute, replay(own), "its answer has expired"},
		{"of the future", -10 * time.Minute, replay(own), "of the future"},
		{"bent", 0, replay(bent), "its answer"},
		{"cut off", 0, replay(own[:len(own)-1]), "cannot be used"},
		{"nothing", 0, replay(nil), "cannot be used"},
		{"try later", 0, replay([]byte{0x30, 0x03, 0x0a, 0x01, 0x03}), "try later"},
		{"endless", 0, replay(append(bytes.Clone(own), make([]byte, maxAnswer)...)), "larger than 65536 bytes"},
		{"a page", 0, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(404) }, "status 404"},
		{"a redirect", 0, func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				redirected = true
			}
			http.Redirect(rw, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, "status 307"},
	} {
		t.Run(each.name, func(t *testing.T) {
			w.answers(each.answers)
			s := stopped(t, "")
			s.clock.pass(each.pass)
			s.follow(c)
			f, _ := s.due()
			s.runQuestion(t.Context(), f)
			if got := s.Status("it"); got.Stapled || s.staple() != nil || !strings.Contains(got.Problem, each.want) {
				t.Errorf("got %v; want %q in it", got, each.want)
			}
		})
	}
	if redirected {
		t.Error("followed a redirect")
	}
	w.answers(replay(own))
	s := started(t, c, "")
	s.await("the recorded answer itself is good", isStapled)
}

// A restart staples at once, without a question, what is still good.
func TestKept(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "made")
	w.responder(index{77: "V"}, w.issuer, "-nmin", "60")
	c := w.leaf(77, nil)
	first := started(t, c, dir)
	first.await("stapled", isStapled)
	asked := w.asked.Load()

	s := stopped(t, dir)
	s.follow(c)
	if !bytes.Equal(s.staple(), first.staple()) || !s.Status("it").Stapled || w.asked.Load() != asked {
		t.Errorf("after a restart: %v", s.Status("it"))
	}
	if f, _ := s.due(); f != nil {
		t.Error("asks at once although it has an answer")
	}
	other := stopped(t, dir)
	other.follow(w.leaf(77, nil)) // the same number, another certificate
	if other.staple() != nil {
		t.Error("another certificate got the answer")
	}

	late := stopped(t, dir)
	late.clock.pass(58 * time.Minute)
	late.follow(c)
	if late.staple() != nil {
		t.Error("an answer about to end was stapled")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Error("an answer that is of no use is still kept")
	}
	if f, _ := late.due(); f == nil {
		t.Error("does not ask at once")
	}
}

func TestKeptIsVerified(t *testing.T) {
	w := newWorld(t)
	c := w.leaf(77, nil)
	for name, text := range map[string]string{"rubbish": "rubbish", "too large": strings.Repeat("x", maxAnswer+1), "empty": ""} {
		s := stopped(t, t.TempDir())
		sub, _ := examine(c)
		if err := os.WriteFile(s.file(&followed{subject: sub}), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.follow(c)
		if s.staple() != nil {
			t.Errorf("%s was stapled", name)
		}
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	for name, age := range map[string]time.Duration{"old.ocsp": stale + time.Hour, "new.ocsp": time.Hour, "old.else": stale + time.Hour} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	stopped(t, dir).sweep()
	left, _ := os.ReadDir(dir)
	if len(left) != 2 || left[0].Name() != "new.ocsp" || left[1].Name() != "old.else" {
		t.Errorf("left are %v", left)
	}
}

// A disk that is full costs the answer's keeping and nothing else.
func TestCannotKeep(t *testing.T) {
	w := newWorld(t)
	w.responder(index{77: "V"}, w.issuer, "-nmin", "60")
	file := w.write("file", "")
	s := started(t, w.leaf(77, nil), filepath.Join(file, "dir"))
	s.await("stapled", isStapled)
	if s.log.count("cannot be kept") != 1 {
		t.Error("the log does not tell")
	}
}

func TestNothingToStaple(t *testing.T) {
	w := newWorld(t)
	alone := w.leaf(77, nil)
	alone.Certificate = alone.Certificate[:1]
	stranger := w.leaf(77, nil)
	stranger.Certificate[1] = issue(t, nil, "authority", 5, authority).cert.Raw
	for _, c := range []struct {
		name string
		c    *tls.Certificate
		want string
	}{
		{"no responder", w.leaf(77, func(c *x509.Certificate) { c.OCSPServer = nil }), errNoResponder.Error()},
		{"a responder not on the web", w.leaf(77, func(c *x509.Certificate) { c.OCSPServer = []string{"file:///etc/passwd", "ldap://a"} }), errNoResponder.Error()},
		{"must-staple", w.leaf(77, func(c *x509.Certificate) { must(c); c.OCSPServer = nil }), errNoResponder.Error() + "; the certificate demands stapling (must-staple), so clients refuse it until there is an answer"},
		{"no issuer", alone, errNoIssuer.Error()},
		{"not the issuer", stranger, errNoIssuer.Error()},
		{"nothing", &tls.Certificate{}, "there is no certificate"},
	} {
		s := stopped(t, "")
		s.follow(c.c)
		got := s.Status("it")
		if got.String() != c.want || got.Alarm() != strings.Contains(c.want, "must-staple") {
			t.Errorf("%s: got %q", c.name, got)
		}
		if f, _ := s.due(); f != nil {
			t.Errorf("%s: asks", c.name)
		}
	}
	if got := stopped(t, "").Status("it").String(); got != "stapling is not looked after" {
		t.Errorf("got %q", got)
	}
}

// After another certificate has taken the id, or none, answers about the first go nowhere.
func TestReplacedAndDropped(t *testing.T) {
	w := newWorld(t)
	w.responder(index{77: "V", 78: "V"}, w.issuer, "-nmin", "60")
	dir := t.TempDir()
	s := stopped(t, dir)
	s.follow(w.leaf(77, nil))
	f, _ := s.due()
	var second []byte
	s.Follow("it", w.leaf(78, nil), func(response []byte) { second = response })
	s.runQuestion(t.Context(), f)
	if s.staple() != nil || second != nil || s.Status("it").Stapled {
		t.Error("an answer about what was replaced was shown")
	}
	g, _ := s.due()
	if g == nil || g == f {
		t.Fatal("does not ask about the new one")
	}
	s.Drop("it")
	s.runQuestion(t.Context(), g)
	if second != nil || s.Status("it").Followed {
		t.Error("an answer about what was dropped was shown")
	}
	if f, _ := s.due(); f != nil {
		t.Error("asks about what was dropped")
	}
	if kept, _ := os.ReadDir(dir); len(kept) != 0 {
		t.Error("keeps what nobody follows")
	}
}

// Of several responders the next is asked after a failure.
func TestSeveralResponders(t *testing.T) {
	w := newWorld(t)
	w.responder(index{77: "V"}, w.issuer, "-nmin", "60")
	s := started(t, w.leaf(77, func(c *x509.Certificate) { c.OCSPServer = []string{"http://127.0.0.1:1/", w.url} }), "")
	s.await("failed", hasFailed)
	s.pass(time.Minute)
	if got := s.await("stapled", isStapled); got.Responder != w.url {
		t.Errorf("status is %v", got)
	}
}
