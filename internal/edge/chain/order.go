package chain

import (
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policy/requestid"
)

// Order is every policy there is, in running order. The order of the configuration's text does not matter. In steps 8 and 9 the
// policies run in the same order.
//
// To add a policy: write its folder, put its Kind here where it belongs, and say above it why it stands there if that is not plain.
var Order = []policy.Kind{
	// First of all, so that whatever refuses a request later can be found in the log by the id the client was told.
	requestid.Kind,
}
