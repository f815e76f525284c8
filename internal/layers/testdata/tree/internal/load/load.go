// Package load shares no codec with edge.
package load

import (
	_ "straum.dev/straum/internal/clock"
	_ "straum.dev/straum/internal/edge/exchange"
	_ "straum.dev/straum/internal/load/plan"
)
