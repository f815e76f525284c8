// Package clock is a leaf.
package clock

import _ "straum.dev/straum/internal/edge/exchange"

func init() {}
