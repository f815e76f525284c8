package chain

import (
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policy/apikey"
	"straum.dev/straum/internal/edge/policy/authenticate"
	"straum.dev/straum/internal/edge/policy/authorize"
	"straum.dev/straum/internal/edge/policy/basic"
	"straum.dev/straum/internal/edge/policy/forwardauth"
	"straum.dev/straum/internal/edge/policy/hmac"
	"straum.dev/straum/internal/edge/policy/introspection"
	"straum.dev/straum/internal/edge/policy/jwt"
	"straum.dev/straum/internal/edge/policy/mtls"
	"straum.dev/straum/internal/edge/policy/oidc"
	"straum.dev/straum/internal/edge/policy/requestid"
	"straum.dev/straum/internal/edge/policy/webhooksignature"
)

// Order is every policy there is, in running order. The order of the configuration's text does not matter. In steps 8 and 9 the
// policies run in the same order.
//
// To add a policy: write its folder, put its Kind here where it belongs, and say above it why it stands there if that is not plain.
var Order = []policy.Kind{
	// First of all, so that whatever refuses a request later can be found in the log by the id the client was told.
	requestid.Kind,

	// Who calls. The methods of a route are asked as one, in this order: those that cost least first. A credential is judged before
	// anything is done for whoever shows it.
	authenticate.Kind,
	mtls.Kind,
	apikey.Kind,
	jwt.Kind,
	basic.Kind,
	hmac.Kind,
	webhooksignature.Kind,
	introspection.Kind,
	forwardauth.Kind,
	oidc.Kind,

	// What the caller may do, once it is known.
	authorize.Kind,
}
