package layers

// The rows, from the ground up. A package stands in exactly one; it may import packages of lower rows. In a pattern,
// "*" is one folder and "**" is the folder before it and all that lies below.
var rows = []row{
	{"0", "leaves", []string{"internal/acme", "internal/clock", "internal/bufpool", "internal/document", "internal/memlimit", "internal/edge/fault", "internal/edge/grammar", "internal/edge/pace", "internal/edge/socket", "internal/config", "internal/certificate", "internal/staple", "internal/ticket", "internal/profile",
		"internal/consumer", "internal/keyring", "internal/fetch", "internal/token", "internal/keyset", "internal/redis", "internal/redistest",
		"internal/introspect", "internal/session", "internal/condition", "internal/openid", "internal/replay",
		"internal/chart", "internal/wording", "internal/limit", "internal/quota", "internal/ban", "internal/nft", "internal/jsonedit", "internal/schema", "internal/openapi", "internal/waf"}},
	{"1", "the traveller", []string{"internal/edge/exchange"}},
	{"2", "contracts and decisions", []string{
		"internal/edge/policy", "internal/edge/wire/*", "internal/edge/route", "internal/edge/cache/**", "internal/edge/balance",
		"internal/edge/breaker", "internal/edge/retry", "internal/observe/*",
	}},
	{"3", "policies and what touches the network", []string{
		"internal/edge/policy/*", "internal/edge/policytest", "internal/edge/listen", "internal/edge/resolve", "internal/edge/health",
		"internal/edge/upstream",
	}},
	{"4", "the flow", []string{"internal/edge/chain", "internal/edge/greet", "internal/edge"}},
	{"5", "the compiler", []string{"internal/control/compile"}},
	{"6", "control", []string{
		"internal/control/revision", "internal/control/admin", "internal/control/client", "internal/control/ui",
	}},
	{"7", "the program", []string{"cmd/straum"}},
	// Guests of the data plane: they stand beside the rows, on the leaves.
	{"aside", "the machine, load and capacity", []string{"internal/box/**", "internal/load/**", "internal/capacity/**"}},
	// Not part of the program.
	{"outside", "tools, measurements and black-box tests", []string{"bench/**", "scripts/**", "test/**"}},
}

// sideways lists who may import a neighbour of the same row, and why.
var sideways = []rule{
	{"internal/*", "internal/wording", "numbers and errors of files read the same wherever they are told"},
	{"internal/config", "internal/document", "config gives meaning to what document has parsed"},
	{"internal/edge/socket", "internal/bufpool", "a socket lends itself a buffer while bytes are under way"},
	{"internal/edge/socket", "internal/clock", "a socket's deadlines are on the data path's clock"},
	{"internal/keyset", "internal/fetch", "keys come from other people's addresses"},
	{"internal/introspect", "internal/fetch", "the endpoint is somebody else's"},
	{"internal/introspect", "internal/token", "what an endpoint says of a token has the same claims"},
	{"internal/openid", "internal/fetch", "the provider is somebody else's"},
	{"internal/openid", "internal/token", "an ID token is a token"},
	{"internal/openid", "internal/keyset", "an ID token is verified with the provider's keys"},
	{"internal/limit", "internal/redis", "limits of a fleet are counted where all its gateways can"},
	{"internal/quota", "internal/redis", "quotas of a fleet are counted where all its gateways can"},
	{"internal/openapi", "internal/schema", "an OpenAPI document describes bodies and parameters by schemas"},
	{"internal/replay", "internal/redis", "what was seen is seen by all gateways of a fleet"},
	{"internal/keyset", "internal/token", "a set of keys is what tokens are verified with"},
	{"internal/edge/cache", "internal/edge/cache/*", "the cache joins its rules, its stores and what is under way"},
	{"internal/edge/cache/*", "internal/edge/cache/object", "stores and flights hold objects"},
	{"internal/edge/cache/remote", "internal/edge/cache/purge", "what one gateway purges the others of its fleet purge too"},
	{"internal/edge/cache/object", "internal/edge/cache/freshness", "an object has the terms of its use"},
	{"internal/edge/policy", "internal/edge/cache", "a chain holds its route's cache, which alters the path and so is no policy"},
	{"internal/edge/upstream", "internal/edge/health", "an upstream owns its endpoints, and their health with them"},
	{"internal/edge/upstream", "internal/edge/resolve", "an upstream's endpoints may be names"},
	{"internal/control/admin", "internal/control/revision", "the admin API is how revisions are shown and applied"},
}

// bans are stricter than the rows.
var bans = []rule{
	{"internal/edge/**", "internal/config", "the data path knows snapshots only; internal/control/compile turns config into them"},
	{"internal/observe/**", "internal/config", "observers get their settings as arguments; only the control plane reads config"},
	{"internal/edge/**", "internal/observe/**", "steps stamp facts on the exchange; who reports them is joined in cmd/straum"},
	{"internal/edge", "internal/edge/chain", "the flow runs any compiled chain; it must not know the list of policies"},
	{"internal/edge", "internal/edge/policy/*", "the flow knows the contract of a policy, never one of them"},
	{"internal/edge/policy/*", "internal/edge/policy/*", "policies never touch each other; what two need is a leaf or part of the contract"},
	{"internal/control/compile", "internal/observe/**", "a snapshot holds no observers; they are joined in cmd/straum"},
	{"internal/control/**", "internal/edge/wire/*", "control reads numbers of the data plane and takes no part in an exchange"},
	{"internal/control/client", "internal/edge/**", "the client knows the admin API by its JSON alone, as any other client would"},
	{"internal/control/client", "internal/config", "the client sends the file as it is; the program that runs checks it"},
}

// asideReason and outsideReason say why those two stand alone.
const (
	asideReason   = "box, load and capacity live beside the data plane, never inside it; only cmd/straum joins them (load sharing a codec with edge would hide the codec's bugs)"
	outsideReason = "tools, measurements and black-box tests use the program as everybody does, from outside"
)

// forbidden are packages from elsewhere that may not be used in a part of the tree. The path covers those below it.
var forbidden = []rule{
	{"internal/**", "text/template", "its Execute reaches reflect's MethodByName, which keeps every exported method: 13 MB of binary"},
	{"cmd/**", "text/template", "its Execute reaches reflect's MethodByName, which keeps every exported method: 13 MB of binary"},
	{"internal/**", "html/template", "it stands on text/template: 13 MB of binary"},
	{"cmd/**", "html/template", "it stands on text/template: 13 MB of binary"},
	{"internal/edge/**", "net/http", "the HTTP/1.1 path is our own code; net/http costs three times the processor time"},
	{"internal/**", "flag", "libraries read no flags; cmd/straum does and hands them down"},
	{"internal/edge/**", "encoding/json", "it allocates on every call; the data path writes and reads its bytes itself"},
}

// forbiddenAllowed are the exceptions to forbidden, each with its reason.
var forbiddenAllowed = []rule{
	{"internal/edge/wire/roundtrip", "net/http", "HTTP/2 to endpoints is the standard library's; its connections are used one by one, without its pool and its HTTP/1.1"},
	{"internal/edge/wire/roundtrip", "net/http/httptrace", "the standard library's way to hand interim answers over, and to say whether a request was sent"},
}

// pure packages decide: they take numbers, a time and a random number, and return a decision.
var pure = []string{
	"internal/edge/route", "internal/edge/balance", "internal/edge/breaker", "internal/edge/retry", "internal/edge/cache/freshness", "internal/capacity/**",
}

// impureImports are what a pure package has no use for. The path covers those below it.
var impureImports = []string{"net/http", "os", "log", "math/rand", "crypto/rand", "syscall", "golang.org/x/sys"}

// stepPackages must say in their doc which step of the request they serve.
var stepPackages = []string{"internal/edge/**", "internal/observe/*"}
