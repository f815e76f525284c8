package waf

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"straum.dev/straum/internal/edge/policytest"
	"straum.dev/straum/internal/waf"
)

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	f := func(options, want string) {
		t.Helper()
		if got := w.Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q in it", options, got, want)
		}
	}
	f("{mode: blocking}", "mode")
	f("{paranoia: 5}", "paranoia")
	f("{threshold: 0}", "threshold")
	f("{max_body: 2MiB}", "max_body")
	f("{content_types: [json]}", `found "json"; allowed: media types in lower case without parameters`)
	f("{content_types: ['a/b| |c/d']}", "content_types")
	f("{content_types: ['a/b; charset=x']}", "content_types")
	f("{content_types: [\"a/b'\"]}", "content_types")
	f("{exclude_rules: [0]}", "found 0; allowed: ids of rules")
	f("{over: drop}", "over")
	if !waf.Built {
		f("{}", "this build has no WAF; build it with make build TAGS=waf")
	}
}

// Half of the processors at most, some wait for a place and no longer than a second, the rest are told at once.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(2)
		for range 2 {
			if !p.take() {
				t.Fatal("no place though there are two")
			}
		}
		var in, out atomic.Int32
		for range 2 * waiting {
			go func() {
				if p.take() {
					in.Add(1)
				} else {
					out.Add(1)
				}
			}()
		}
		synctest.Wait()
		began := time.Now()
		if p.take() || time.Since(began) != 0 {
			t.Error("one more than may wait got a place, or waited")
		}
		p.give()
		p.give()
		synctest.Wait()
		if in.Load() != 2 || out.Load() != 0 {
			t.Errorf("%d got a place, %d none, as two came free", in.Load(), out.Load())
		}
		time.Sleep(patience + time.Millisecond)
		synctest.Wait()
		if in.Load() != 2 || out.Load() != 2*waiting-2 {
			t.Errorf("%d got a place, %d none, after a second", in.Load(), out.Load())
		}
		p.give()
		if !p.take() {
			t.Error("no place though one is free")
		}
	})
}

func TestNotes(t *testing.T) {
	var n notes
	now := time.Unix(1e9, 0)
	count := func(tries int) (lines, withheld int) {
		for range tries {
			if w, may := n.may(now); may {
				lines++
				withheld += w
			}
		}
		return
	}
	if lines, _ := count(100); lines != burst {
		t.Errorf("%d lines at once", lines)
	}
	now = now.Add(time.Second)
	if lines, withheld := count(100); lines != 1 || withheld != 100-burst {
		t.Errorf("%d lines in a second, of %d told of", lines, withheld)
	}
	now = now.Add(-time.Hour) // a clock that is put back
	if lines, _ := count(1); lines != 0 {
		t.Error("a line without a second having passed")
	}
	now = now.Add(2 * time.Hour)
	if lines, _ := count(100); lines != burst {
		t.Errorf("%d lines after an hour", lines)
	}
}
