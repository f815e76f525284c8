// Package edge tells the eleven steps.
package edge

import (
	_ "straum.dev/straum/internal/edge/chain"
	_ "straum.dev/straum/internal/edge/route"
	_ "straum.dev/straum/internal/load"
)
