package edge_test

import "straum.dev/straum/internal/edge/upstream"

type hostTest struct {
	name            string
	upstream, route upstream.Host
	want            string
}

// hostTests say which Host reaches an endpoint configured as api.internal:port when public.example:8443 was asked for.
func hostTests(port string) []hostTest {
	unset, kept := upstream.Host{}, upstream.Host{Mode: upstream.HostKept}
	endpoint, fixed := upstream.Host{Mode: upstream.HostEndpoint}, upstream.Host{Mode: upstream.HostFixed, Value: "fixed.example"}
	return []hostTest{
		{"nothing said", unset, unset, "public.example:8443"},
		{"upstream keeps", kept, unset, "public.example:8443"},
		{"upstream: endpoint", endpoint, unset, "api.internal:" + port},
		{"upstream: fixed", fixed, unset, "fixed.example"},
		{"route keeps against endpoint", endpoint, kept, "public.example:8443"},
		{"route keeps against fixed", fixed, kept, "public.example:8443"},
		{"route: endpoint", kept, endpoint, "api.internal:" + port},
		{"route: fixed", endpoint, fixed, "fixed.example"},
	}
}
