package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
)

// Those whose share is used up fail, and the operator is told who they are, a few by name.
func TestOnce(t *testing.T) {
	w := &policy.World{State: policy.NewState()}
	now := time.Unix(1e9, 0)
	terms := policy.OnceTerms{Remember: 16, Behind: time.Minute, Remedy: "do less", Now: func() time.Time { return now }}
	once := policy.NewOnce(w, "test", terms)
	again := policy.NewOnce(w, "test", terms)
	use := func(o *policy.Once, owner string, n byte) string {
		x := &exchange.Exchange{}
		switch ok := o.Use(x, [32]byte{n, 31: n}, owner, now); {
		case x.Fault != nil && !ok:
			return x.Fault.Kind.Word
		case ok:
			return "used"
		}
		return "replayed"
	}
	if got := use(once, "a", 0); got != "used" {
		t.Error(got)
	}
	if got := use(again, "b", 0); got != "replayed" {
		t.Error(got)
	}
	if got := use(policy.NewOnce(w, "other", terms), "a", 0); got != "used" {
		t.Errorf("another kind: %s", got)
	}
	if got := use(again, "a", 16); got != fault.AuthUnavailable.Word { // the same part of the memory, which has room for one
		t.Error(got)
	}
	for i := range byte(7) {
		use(once, fmt.Sprint("more-", i), i+1)
	}
	all := w.State.Attention()
	if len(all) != 2 || !strings.HasPrefix(all[1], "policy test remembers as many used signatures of a, more-0, more-1, more-2, more-3 and 3 more as it may") || !strings.HasSuffix(all[1], "; do less") {
		t.Errorf("attention for %q", all)
	}
	now = now.Add(time.Hour)
	if all := w.State.Attention(); len(all) != 0 {
		t.Errorf("attention for %q", all)
	}
}
