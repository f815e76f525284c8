// Package cors is a policy.
//
// Steps 4 and 9.
package cors

import _ "html/template"
