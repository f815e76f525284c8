package ticket

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func newKeys(source Source, now func() time.Time) (*Keys, *logs) {
	out := new(logs)
	return New(Options{Source: source, Log: slog.New(slog.NewTextHandler(out, nil)), Now: now}), out
}

func config(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// box is a listener with keys of its own process; another one is what a restart makes.
type box struct {
	address string
	config  *tls.Config
}

func newBox(t *testing.T, keys *Keys, context string) *box {
	t.Helper()
	b := &box{config: config(t)}
	keys.Use(b.config, context)
	l, err := tls.Listen("tcp", "127.0.0.1:0", b.config)
	if err != nil {
		t.Fatal(err)
	}
	b.address = l.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			nc.(*tls.Conn).Handshake()
			nc.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return b
}

// visit runs a real client. It says whether the session was resumed.
func (b *box) visit(t *testing.T, arguments ...string) (resumed bool) {
	t.Helper()
	cmd := exec.Command("openssl", append([]string{"s_client", "-connect", b.address, "-servername", "a.example", "-ign_eof"}, arguments...)...)
	cmd.Stdin = strings.NewReader("")
	out, _ := cmd.CombinedOutput()
	text := string(out)
	isNew, isReused := strings.Contains(text, "\nNew, "), strings.Contains(text, "\nReused, ")
	if isNew == isReused {
		t.Fatalf("openssl says\n%s", text)
	}
	return isReused
}

// Sessions are resumed after a restart, within their time, and nowhere else.
func TestResumption(t *testing.T) {
	for _, version := range []string{"-tls1_3", "-tls1_2"} {
		t.Run(version, func(t *testing.T) {
			dir := t.TempDir()
			file, session := filepath.Join(dir, "tickets"), filepath.Join(dir, "session")
			var now atomic.Int64
			now.Store(start.UnixNano())
			clock := func() time.Time { return time.Unix(0, now.Load()) }
			process := func() *Keys {
				f, _ := newFile(t, file, time.Hour)
				k, _ := newKeys(f, clock)
				return k
			}
			keys := process()
			here := newBox(t, keys, "here")
			there := newBox(t, keys, "there")
			if here.visit(t, version, "-sess_out", session) {
				t.Fatal("resumed a session that never was")
			}
			if _, err := os.Stat(session); err != nil {
				t.Fatal(err)
			}
			want := func(what string, b *box, resumed bool) {
				t.Helper()
				if b.visit(t, version, "-sess_in", session) != resumed {
					t.Errorf("%s: resumed is %v", what, !resumed)
				}
			}
			want("at once", here, true)
			want("at another listener", there, false)
			want("after a restart", newBox(t, process(), "here"), true)

			now.Add(int64(time.Hour))
			keys.Rotate(clock())
			want("a period later", here, true)
			want("a period later, after a restart", newBox(t, process(), "here"), true)
			now.Add(int64(time.Hour))
			keys.Rotate(clock())
			want("two periods later", here, false)
			want("two periods later, after a restart", newBox(t, process(), "here"), false)
		})
	}
}

// Boxes that share a secret resume each other's sessions, also when one's clock is ahead into the next period.
func TestFleet(t *testing.T) {
	session := filepath.Join(t.TempDir(), "session")
	member := func(secret string, ahead time.Duration) *box {
		source, err := NewShared([]byte(strings.Repeat(secret, 32)), Period(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		k, _ := newKeys(source, func() time.Time { return start.Add(ahead) })
		return newBox(t, k, "here")
	}
	member("a", time.Hour).visit(t, "-sess_out", session)
	for _, c := range []struct {
		secret  string
		ahead   time.Duration
		resumed bool
	}{{"a", time.Hour, true}, {"a", 0, true}, {"a", 2 * time.Hour, true}, {"a", -time.Hour, false}, {"b", time.Hour, false}} {
		if got := member(c.secret, c.ahead).visit(t, "-sess_in", session); got != c.resumed {
			t.Errorf("%v: resumed is %v", c, got)
		}
	}
}

// source counts, and fails when told to.
type source struct {
	Shared
	err   error
	calls int
}

func (s *source) Secrets(now time.Time) (Secrets, error) {
	s.calls++
	secrets, _ := s.Shared.Secrets(now)
	return secrets, s.err
}

func newSource(t *testing.T) *source {
	t.Helper()
	shared, err := NewShared([]byte(strings.Repeat("a", 32)), Period(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return &source{Shared: *shared}
}

func TestStatus(t *testing.T) {
	s := newSource(t)
	s.err = errors.New("the disk is full")
	now := start
	k, out := newKeys(s, func() time.Time { return now })
	one, two := config(t), config(t)
	k.Use(one, "a")
	k.Use(two, "b")
	k.Use(two, "c") // again
	got := k.Status()
	if got.Problem != "the disk is full" || got.Configs != 2 || got.Period != time.Hour || !got.Rotated.Equal(start) || !got.Next.Equal(start.Add(time.Hour)) {
		t.Errorf("status is %+v", got)
	}
	k.Rotate(now.Add(time.Minute))
	if !k.Status().Rotated.Equal(start) {
		t.Error("rotates within a period")
	}
	if out.count("the disk is full") != 1 {
		t.Error("the log does not tell it once")
	}
	s.err = nil
	now = now.Add(time.Hour)
	k.Rotate(now)
	k.Drop(one)
	k.Drop(one)
	if got = k.Status(); got.Problem != "" || got.Configs != 1 || !got.Rotated.Equal(now) || out.count("kept again") != 1 {
		t.Errorf("status is %+v", got)
	}
}

// What is dropped gets no new keys.
func TestDrop(t *testing.T) {
	session := filepath.Join(t.TempDir(), "session")
	s := newSource(t)
	k, _ := newKeys(s, func() time.Time { return start })
	b := newBox(t, k, "here")
	b.visit(t, "-sess_out", session)
	k.Drop(b.config)
	k.Rotate(start.Add(10 * time.Hour))
	if !b.visit(t, "-sess_in", session) {
		t.Error("its keys were changed")
	}
}

func TestRun(t *testing.T) {
	s := newSource(t)
	var now atomic.Int64
	now.Store(start.Add(time.Hour - 20*time.Millisecond).UnixNano())
	k, _ := newKeys(s, func() time.Time { return time.Unix(0, now.Load()) })
	next := k.Status().Next
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); k.Run(ctx) }()
	now.Store(start.Add(time.Hour).UnixNano())
	for end := time.Now().Add(20 * time.Second); !k.Status().Next.After(next); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("did not rotate")
		}
	}
	cancel()
	<-done
}

func TestWait(t *testing.T) {
	for left, want := range map[time.Duration]time.Duration{
		time.Hour: time.Minute, time.Second: time.Second, 0: time.Millisecond, -time.Hour: time.Millisecond,
	} {
		if got := wait(start, start.Add(left)); got != want {
			t.Errorf("%v before: waits %v, want %v", left, got, want)
		}
	}
}

// slow is a source whose disk takes its time.
type slow struct {
	source
	called, goOn chan struct{}
}

func (s *slow) Secrets(now time.Time) (Secrets, error) {
	if s.called != nil {
		s.called <- struct{}{}
		<-s.goOn
	}
	return s.source.Secrets(now)
}

// Whoever asks how it stands, and listeners that come and go, do not wait for the source. A config that comes meanwhile has the new
// keys in the end.
func TestSlowSource(t *testing.T) {
	s := &slow{source: *newSource(t)}
	k, _ := newKeys(s, func() time.Time { return start })
	s.called, s.goOn = make(chan struct{}), make(chan struct{})
	rotated := make(chan struct{})
	go func() { defer close(rotated); k.Rotate(start.Add(10 * time.Hour)) }()
	<-s.called
	answered := make(chan Status)
	var b *box
	go func() {
		other := config(t)
		k.Use(other, "other")
		b = newBox(t, k, "here")
		k.Drop(other)
		answered <- k.Status()
	}()
	select {
	case got := <-answered:
		if got.Configs != 1 || !got.Rotated.Equal(start) {
			t.Errorf("status is %+v", got)
		}
	case <-time.After(20 * time.Second):
		t.Error("waits for the source")
	}
	close(s.goOn)
	<-rotated
	if t.Failed() {
		return
	}
	session := filepath.Join(t.TempDir(), "session")
	b.visit(t, "-sess_out", session)
	late, _ := newKeys(newSource(t), func() time.Time { return start.Add(10 * time.Hour) })
	if !newBox(t, late, "here").visit(t, "-sess_in", session) {
		t.Error("a config that came during a rotation has old keys")
	}
}
