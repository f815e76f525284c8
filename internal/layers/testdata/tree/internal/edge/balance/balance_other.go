//go:build ignore

// Package balance is parsed whatever its build tags are. Step 6.
package balance

import _ "straum.dev/straum/internal/edge/route"
