// Package bench measures from outside.
package bench

import (
	_ "straum.dev/straum/bench/report"
	_ "straum.dev/straum/internal/clock"
)
