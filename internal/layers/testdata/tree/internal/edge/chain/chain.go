// Package chain knows every policy. Steps 4, 8 and 9.
package chain

import _ "straum.dev/straum/internal/edge/policy/jwt"
