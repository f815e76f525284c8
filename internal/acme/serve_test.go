package acme

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

// Handshakes and requests cost no allocation here.
func TestServing(t *testing.T) {
	m, err := New(Options{Directory: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	one, star := &tls.Certificate{}, &tls.Certificate{}
	m.served.Store(&shelf{
		byName:  map[string]*tls.Certificate{"one.example.com": one, "*.example.com": star},
		managed: map[string]bool{"one.example.com": true, "*.example.com": true, "two.example.org": true, "*.example.org": true},
		first:   one,
	})
	for name, c := range map[string]struct {
		want *tls.Certificate
		err  error
	}{
		"one.example.com": {one, nil}, "ONE.example.COM": {one, nil}, "": {one, nil}, "x.example.com": {star, nil},
		"example.com": {nil, nil}, "a.b.example.com": {nil, nil}, ".example.com": {nil, nil}, "com": {nil, nil},
		"two.example.org": {nil, errWaiting}, "x.example.org": {nil, errWaiting},
		strings.Repeat("x.", 300) + "example.com": {nil, nil},
	} {
		hello := &tls.ClientHelloInfo{ServerName: name, SupportedProtos: []string{"h2", "http/1.1"}}
		if got, err := m.GetCertificate(hello); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%q: %v, %v", name, got == c.want, err)
		}
		if name != "ONE.example.COM" && len(name) < 100 {
			if n := testing.AllocsPerRun(100, func() { _, _ = m.GetCertificate(hello) }); n != 0 {
				t.Errorf("%q: %v allocations", name, n)
			}
		}
	}
	question := &tls.ClientHelloInfo{ServerName: "one.example.com", SupportedProtos: []string{"acme-tls/1"}}
	if _, err := m.GetCertificate(question); !errors.Is(err, errChallenge) {
		t.Errorf("a question nobody asked is answered: %v", err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = m.Challenge("one.example.com", "token") }); n != 0 {
		t.Errorf("a request that is no question: %v allocations", n)
	}
}

func TestChallenge(t *testing.T) {
	m, err := New(Options{Directory: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s := (*httpSolver)(&m.challenges)
	ask := func(token string) acme.Challenge {
		return acme.Challenge{Token: token, KeyAuthorization: token + ".key", Identifier: acme.Identifier{Type: "dns", Value: "one.example.com"}}
	}
	if err := s.Present(t.Context(), ask("token")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host, token string
		ok          bool
	}{
		{"one.example.com", "token", true}, {"One.example.com:80", "token", true}, {"two.example.com", "token", false},
		{"one.example.com", "other", false}, {"", "token", false}, {"one.example.com", "", false},
	} {
		text, ok := m.Challenge(c.host, c.token)
		if ok != c.ok || ok && text != "token.key" {
			t.Errorf("%q %q: %q, %v", c.host, c.token, text, ok)
		}
	}
	if err := s.CleanUp(t.Context(), ask("token")); err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Challenge("one.example.com", "token"); ok {
		t.Error("an answer outlives its question")
	}
	for i := range challengesMost + 1 {
		err = s.Present(t.Context(), ask(strings.Repeat("x", i+1)))
	}
	if !errors.Is(err, errChallenges) {
		t.Errorf("the number of open challenges is not bounded: %v", err)
	}
}

// Nothing runs after Close, and nothing can be applied.
func TestCloseLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	m, err := New(Options{Directory: t.TempDir(), timing: timing{attempt: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	s := Settings{Names: []string{"one.example.com"}, Challenges: []string{HTTP01}, Directory: "https://" + freeAddress() + "/dir"}
	if err := m.Apply(s); err != nil {
		t.Fatal(err)
	}
	m.Close()
	if err := m.Apply(s); err == nil {
		t.Error("a closed manager takes settings")
	}
	m.Close()
}

// Lines of the libraries reach our log at debug, with their fields.
func TestBridge(t *testing.T) {
	var out lines
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	z := bridge(log).Named("obtain").With(zap.String("identifier", "one.example.com"))
	z.Error("no luck", zap.Error(errors.New("boom")), zap.Duration("elapsed", time.Second))
	slog.New(quiet{log.Handler()}).With("a", 1).Info("from acmez")
	text := out.text()
	for _, want := range []string{"level=DEBUG", `msg="no luck"`, "part=obtain", "identifier=one.example.com", "error=boom", "elapsed=1s", "was=ERROR", "a=1", "was=INFO"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Contains(text, "level=INFO") || strings.Contains(text, "level=ERROR") {
		t.Error(text)
	}
	if bridge(slog.New(slog.NewTextHandler(&out, nil))).Core().Enabled(zap.ErrorLevel) {
		t.Error("lines are made for a log that does not take them")
	}
}

// Texts from outside cannot forge lines of the log or fill it.
func TestExplain(t *testing.T) {
	long := explain(acme.Problem{Type: acme.ProblemTypeNamespace + "connection", Detail: "no\nroute\x1b[31m" + strings.Repeat("ä", 1000)})
	if len(long) > explainMost+10 || strings.ContainsAny(long, "\n\x1b") || !strings.HasPrefix(long, "the authority refused: no route [31m") {
		t.Errorf("%q", long)
	}
	got := explain(acme.Problem{Type: acme.ProblemTypeNamespace + "connection", Detail: "refused"})
	if !strings.Contains(got, "must reach a listener of this gateway") {
		t.Errorf("%q", got)
	}
}

func BenchmarkGetCertificate(b *testing.B) {
	m, err := New(Options{Directory: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	m.served.Store(&shelf{byName: map[string]*tls.Certificate{"*.example.com": {}}, managed: map[string]bool{"*.example.com": true}})
	hello := &tls.ClientHelloInfo{ServerName: "orders.example.com", SupportedProtos: []string{"h2", "http/1.1"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.GetCertificate(hello); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChallengeNone(b *testing.B) {
	m, err := New(Options{Directory: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Challenge("orders.example.com", "token")
	}
}
