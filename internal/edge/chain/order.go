package chain

import (
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policy/apikey"
	"straum.dev/straum/internal/edge/policy/authenticate"
	"straum.dev/straum/internal/edge/policy/authorize"
	"straum.dev/straum/internal/edge/policy/basic"
	"straum.dev/straum/internal/edge/policy/bodylimit"
	"straum.dev/straum/internal/edge/policy/cache"
	"straum.dev/straum/internal/edge/policy/compress"
	"straum.dev/straum/internal/edge/policy/concurrency"
	"straum.dev/straum/internal/edge/policy/cors"
	"straum.dev/straum/internal/edge/policy/forwardauth"
	"straum.dev/straum/internal/edge/policy/headers"
	"straum.dev/straum/internal/edge/policy/hmac"
	"straum.dev/straum/internal/edge/policy/introspection"
	"straum.dev/straum/internal/edge/policy/ip"
	"straum.dev/straum/internal/edge/policy/jwt"
	"straum.dev/straum/internal/edge/policy/mirror"
	"straum.dev/straum/internal/edge/policy/mtls"
	"straum.dev/straum/internal/edge/policy/oidc"
	"straum.dev/straum/internal/edge/policy/quota"
	"straum.dev/straum/internal/edge/policy/ratelimit"
	"straum.dev/straum/internal/edge/policy/redirect"
	"straum.dev/straum/internal/edge/policy/requestid"
	"straum.dev/straum/internal/edge/policy/respond"
	"straum.dev/straum/internal/edge/policy/rewrite"
	"straum.dev/straum/internal/edge/policy/securityheaders"
	"straum.dev/straum/internal/edge/policy/shed"
	"straum.dev/straum/internal/edge/policy/split"
	"straum.dev/straum/internal/edge/policy/transformjson"
	"straum.dev/straum/internal/edge/policy/validate"
	"straum.dev/straum/internal/edge/policy/waf"
	"straum.dev/straum/internal/edge/policy/webhooksignature"
)

// Order is every policy there is, in running order. The order of the configuration's text does not matter. In steps 8 and 9 the
// policies run in the same order.
//
// To add a policy: write its folder, put its Kind here where it belongs, and say above it why it stands there if that is not plain.
var Order = []policy.Kind{
	// First of all, so that whatever refuses a request later can be found in the log by the id the client was told.
	requestid.Kind,

	// What browsers are told, before anybody is asked who they are: preflights show no credential, and a refusal that a browser may not
	// read tells its user nothing.
	cors.Kind,

	// From where, and how much at a time: what costs least to refuse.
	ip.Kind,
	bodylimit.Kind,

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

	// How much the caller may have, of what is left for all. A limit whose key is known without the caller, such as its address, runs
	// before authentication (policy.Forerunner).
	ratelimit.Kind,
	quota.Kind,
	concurrency.Kind,
	shed.Kind,

	// What it may send. Looking at content costs most, so only those get here whom nothing before refused.
	waf.Kind,
	validate.Kind,

	// What is answered without an endpoint.
	redirect.Kind,
	respond.Kind,

	// What the endpoint is asked, and which. In step 8: what a cache is to store.
	transformjson.Kind,
	rewrite.Kind,
	split.Kind,

	// Fields, of requests and in step 9 of responses.
	headers.Kind,
	securityheaders.Kind,

	// Steps 5 and 8 on the routes that have it: no policy by itself, but its options stand among them. Whatever changes what the endpoint is asked
	// has done so, and what changes answers for each caller comes after it.
	cache.Kind,

	// Last: the copy is what the endpoint gets, and what is compressed is what the client gets, with the fields that go with it.
	mirror.Kind,
	compress.Kind,
}
