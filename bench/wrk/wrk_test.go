package wrk

import (
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
