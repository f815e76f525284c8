package wrk

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestFiguresAreReadFromTheMarkedLine(t *testing.T) {
	f, err := parse([]byte("Running 2s test\n  noise\nfigures: requests=400 duration_us=2000000 errors=3 p50_us=90 p99_us=410\nmore\n"))
	want := Figures{Requests: 400, Errors: 3, Duration: 2 * time.Second, P50: 90 * time.Microsecond, P99: 410 * time.Microsecond}
	if err != nil || f != want {
		t.Fatalf("parse = %+v, %v; want %+v", f, err, want)
	}
	if f.PerSecond() != 200 {
		t.Fatalf("PerSecond = %v, want 200", f.PerSecond())
	}
}

func TestOutputWithoutFiguresIsRefused(t *testing.T) {
	for _, out := range []string{
		"unable to connect\n",
		"figures: requests=\n",
		"figures: requests=0 duration_us=2000000 errors=0 p50_us=0 p99_us=0\n",
	} {
		if f, err := parse([]byte(out)); err == nil {
			t.Errorf("parse(%q) = %+v, want an error", out, f)
		}
	}
}

func TestTokensAreSentInTurn(t *testing.T) {
	if _, err := exec.LookPath("wrk"); err != nil {
		t.Skip(err)
	}
	var mu sync.Mutex
	var shown []string
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if len(shown) < 7 {
			shown = append(shown, r.Header.Get("Authorization"))
		}
	}))
	defer upstream.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "tokens.txt")
	if err := os.WriteFile(file, []byte("a.b.c\nd.e.f\ng.h.i\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), dir, Load{URL: upstream.URL, Connections: 1, Duration: time.Second, Tokens: file}); err != nil {
		t.Fatal(err)
	}
	first := max(0, slices.Index([]string{"Bearer a.b.c", "Bearer d.e.f", "Bearer g.h.i"}, shown[0])) // wrk takes one to look at
	for i, got := range shown {
		if want := []string{"Bearer a.b.c", "Bearer d.e.f", "Bearer g.h.i"}[(first+i)%3]; got != want {
			t.Fatalf("request %d showed %q, want %q", i, got, want)
		}
	}
}
