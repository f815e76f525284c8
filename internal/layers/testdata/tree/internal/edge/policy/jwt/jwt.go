// Package jwt is a policy. Step 4.
package jwt

import (
	_ "net/http/httputil"

	_ "straum.dev/straum/internal/edge/policy"
	_ "straum.dev/straum/internal/edge/policy/cors"
	_ "straum.dev/straum/internal/observe/metrics"
)
