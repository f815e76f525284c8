package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"straum.dev/straum/internal/box"
)

func finds(is string) func(context.Context, *Patient) []box.Finding {
	return func(context.Context, *Patient) []box.Finding { return one(good(is, "")) }
}

// TestExamineOutlivesChecks has checks that panic, hang and heed their time, among ones that are well.
func TestExamineOutlivesChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan bool)
		checks := []Check{
			{ID: "well", Group: "a", Look: finds("fine")},
			{ID: "panics", Group: "a", Look: func(context.Context, *Patient) []box.Finding { panic("a\nlong\tstory " + strings.Repeat("x", 500)) }},
			{ID: "hangs", Group: "a", Look: func(context.Context, *Patient) []box.Finding { <-let; return one(good("too late", "")) }},
			{ID: "heeds", Group: "b", Look: func(ctx context.Context, _ *Patient) []box.Finding {
				<-ctx.Done()
				return one(unknown("I had no time", "", ""))
			}},
			{ID: "silent", Group: "b", Look: func(context.Context, *Patient) []box.Finding { return nil }},
			{ID: "last", Group: "b", Look: finds("fine")},
		}
		began := time.Now()
		found := Examine(t.Context(), &Patient{}, checks, 3*time.Second)
		if took := time.Since(began); took != 3*time.Second+grace {
			t.Errorf("it took %s", took)
		}
		var got []string
		for _, f := range found {
			got = append(got, fmt.Sprintf("%s %s %s", f.ID, f.Severity, f.Is))
		}
		want := []string{"well good fine", "panics unknown the check itself failed: a long story " + strings.Repeat("x", 120-len("a long story ")) + "...",
			"hangs unknown no answer within 3s", "heeds unknown I had no time", "last good fine"}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if found[0].Want != "fine" {
			t.Errorf("what is good is not what should be: %+v", found[0])
		}
		close(let) // or the bubble would not end
	})
}

// TestExamineIsBounded runs more checks than may be at once, and has all of them wait until so many are.
func TestExamineIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		checks := make([]Check, 5*atOnce)
		for i := range checks {
			checks[i] = Check{ID: fmt.Sprint(i), Look: func(context.Context, *Patient) []box.Finding {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(time.Second)
				now.Add(-1)
				return one(good("fine", ""))
			}}
		}
		began := time.Now()
		found := Examine(t.Context(), &Patient{}, checks, time.Minute)
		if took := time.Since(began); took != 5*time.Second || most.Load() != atOnce {
			t.Errorf("%d at once, %s in all", most.Load(), took)
		}
		for i, f := range found {
			if f.ID != fmt.Sprint(i) {
				t.Fatalf("finding %d is of check %s", i, f.ID)
			}
		}
	})
}

// TestExamineEndsWhenInterrupted does not wait for checks out of their time.
func TestExamineEndsWhenInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan bool)
		defer close(let)
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, stop)
		began := time.Now()
		found := Examine(ctx, &Patient{}, []Check{{ID: "hangs", Look: func(context.Context, *Patient) []box.Finding { <-let; return nil }}}, time.Hour)
		if took := time.Since(began); took != time.Second+grace || !strings.Contains(found[0].Is, "interrupted") {
			t.Errorf("after %s: %+v", took, found)
		}
	})
}

// TestRememberingLooksSeldom keeps what a costly check found for its time, and looks each time at the others.
func TestRememberingLooksSeldom(t *testing.T) {
	var cheap, costly int
	checks := Remembering([]Check{
		{ID: "cheap", Look: func(context.Context, *Patient) []box.Finding { cheap++; return nil }},
		{ID: "costly", Keeps: time.Minute, Look: func(context.Context, *Patient) []box.Finding {
			costly++
			return one(good(fmt.Sprint(costly), ""))
		}},
	})
	at := noon
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{0, "1"}, {59 * time.Second, "1"}, {time.Second, "2"}, {59 * time.Second, "2"}, {-time.Hour, "3"}} {
		at = at.Add(step.after)
		found := Examine(t.Context(), &Patient{Now: at}, checks, time.Minute)
		if len(found) != 1 || found[0].Is != step.want || found[0].ID != "costly" {
			t.Errorf("%s later: %+v, want %s", step.after, found, step.want)
		}
		found[0].Is = "changed by whoever got it"
	}
	if cheap != 5 {
		t.Errorf("the cheap one looked %d times", cheap)
	}
}

// TestRememberingWaitsForNobody tells of a look that has not ended when the next begins.
func TestRememberingWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan bool)
		checks := Remembering([]Check{{ID: "hangs", Keeps: time.Minute, Look: func(context.Context, *Patient) []box.Finding { <-let; return one(good("at last", "")) }}})
		for _, want := range []string{"no answer within 1s", "the last look has not ended yet"} {
			if found := Examine(t.Context(), &Patient{Now: noon}, checks, time.Second); found[0].Is != want {
				t.Errorf("got %+v, want %q", found, want)
			}
		}
		close(let)
		synctest.Wait()
		if found := Examine(t.Context(), &Patient{Now: noon}, checks, time.Second); found[0].Is != "at last" {
			t.Errorf("got %+v", found)
		}
	})
}

// TestChecksAreTellable holds ids and groups against what --only, JSON and the documentation rely on.
func TestChecksAreTellable(t *testing.T) {
	groups := []string{"kernel", "memory", "processor", "network", "disk", "time", "gateway", "security"}
	seen := map[string]bool{}
	for _, c := range Checks() {
		if seen[c.ID] || slices.Contains(groups, c.ID) {
			t.Errorf("%s: the id is taken", c.ID)
		}
		seen[c.ID] = true
		if !slices.Contains(groups, c.Group) || c.Look == nil {
			t.Errorf("%s: group %q", c.ID, c.Group)
		}
	}
}
