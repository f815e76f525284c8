package metrics

import (
	"testing"

	"straum.dev/straum/internal/edge/fault"
)

// TestKindsFit holds that every kind of fault has a counter of its own.
func TestKindsFit(t *testing.T) {
	if n := len(fault.Kinds()); n >= maxKinds || len(kinds) != n {
		t.Errorf("%d kinds of faults, %d of them counted; the room is for %d", n, len(kinds), maxKinds-1)
	}
}
