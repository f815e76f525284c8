// Package route names no step it serves and is not pure.
package route

import (
	_ "math/rand/v2"
	"time"

	_ "straum.dev/straum/internal/config"
	_ "straum.dev/straum/internal/edge/exchange"
)

func now() int64 {
	go now()
	return time.Now().UnixNano()
}
