package caller

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"straum.dev/straum/test/gateway"
)

// Several methods on a route, together or one of them, a stand-in for callers that show nothing, and a route that asks nobody.
func TestSeveral(t *testing.T) {
	t.Parallel()
	key, hash := apiKey(t)
	bobs, bobsHash := apiKey(t)
	rs := newSigner(t, jose.RS256, "rs-1")
	f := open(t, setting{
		consumers: fmt.Sprintf(`
  - { id: acme, credentials: [ { api_key: %q }, { mtls: { dns: orders.acme.example } } ] }
  - { id: bob, credentials: [ { api_key: %q }, { basic: { username: bob, password: %q } } ] }
  - { id: visitors, groups: [public] }
`, hash, bobsHash, passwordHash(t, "word")),
		routes: `
  - { name: any, match: { path: /any }, upstream: app, policies: [ api_key: {}, basic: {}, authenticate: { require: any } ] }
  - { name: all, match: { path: /all }, upstream: app, policies: [ mtls: {}, api_key: {}, authenticate: { require: all } ] }
  - { name: anonymous, match: { path: /anonymous }, upstream: app, policies: [ api_key: {}, authenticate: { anonymous: visitors } ] }
  - { name: hidden, match: { path: /hidden }, upstream: app, policies: [ authenticate: { identity: hide } ] }
  - { name: off, match: { path: /off }, upstream: app, policies: [ jwt: off ] }
  - { name: jwt, match: { path: /jwt }, upstream: app }
`,
		more: fmt.Sprintf("policies:\n  - jwt: { issuer: https://id.example, audience: orders, keys_file: %q }\n", file(t, "keys.json", jwks(t, rs))),
	})
	token := bearer(rs.token(t, nil))
	mine := f.certificates()
	for _, name := range allWays {
		t.Run(name, func(t *testing.T) {
			w := f.way(t, name, nil)
			passes := func(w *way, path, want string, fields ...string) {
				t.Helper()
				a := w.get(t, path, fields...)
				a.expect(t, path, 200, "")
				if a.StatusCode != 200 {
					return
				}
				if got := told(f.seen.One(t)); got != want {
					t.Errorf("%s: the endpoint is told %q, want %q", path, got, want)
				}
			}
			keyed, basicked, tokened := `ApiKey realm="api"`, `Basic realm="api", charset="UTF-8"`, `Bearer realm="api"`
			passes(w, "/any", "x-consumer-id=acme x-consumer-name=acme x-auth-method=api_key", "X-Api-Key", key)
			passes(w, "/any", "x-consumer-id=bob x-consumer-name=bob x-auth-method=basic x-auth-subject=bob", "Authorization", basic("bob", "word"))
			passes(w, "/any", "x-consumer-id=bob x-consumer-name=bob x-auth-method=basic x-auth-subject=bob", "Authorization", basic("bob", "word"), "X-Api-Key", "rubbish")
			passes(w, "/any", "x-consumer-id=acme x-consumer-name=acme x-auth-method=api_key", "Authorization", basic("bob", "wrong"), "X-Api-Key", key)
			w.get(t, "/any").expect(t, "nothing", 401, "unauthenticated", keyed, tokened, basicked)
			w.get(t, "/any", "X-Api-Key", "rubbish").expect(t, "rubbish", 401, "unauthenticated", keyed, tokened, basicked)

			passes(w, "/anonymous", "x-consumer-id=visitors x-consumer-name=visitors x-consumer-groups=public x-anonymous-consumer=true")
			passes(w, "/anonymous", "x-consumer-id=bob x-consumer-name=bob x-auth-method=api_key", "X-Api-Key", bobs)
			w.get(t, "/anonymous", "X-Api-Key", "rubbish").expect(t, "rubbish where anonymous", 401, "unauthenticated", keyed, tokened)

			passes(w, "/off", "")
			passes(w, "/off", "", "Authorization", token)
			passes(w, "/jwt", "x-auth-method=jwt x-auth-subject=somebody x-auth-scope=orders:read", "Authorization", token)
			passes(w, "/hidden", "", "Authorization", token)
			w.get(t, "/jwt").expect(t, "no token", 401, "unauthenticated", tokened)

			if w.scheme == "http" {
				w.get(t, "/all", "X-Api-Key", key).expect(t, "a key alone", 401, "unauthenticated", `ClientCertificate realm="api"`, keyed, tokened)
				return
			}
			both := f.way(t, name, mine.acme)
			passes(both, "/all", "x-consumer-id=acme x-consumer-name=acme x-auth-method=mtls x-auth-subject=CN=orders.acme.example x-auth-scope=orders:read", "X-Api-Key", key, "Authorization", token)
			for what, a := range map[string]*answer{
				"a key and a token alone":         w.get(t, "/all", "X-Api-Key", key, "Authorization", token),
				"a certificate and a key":         both.get(t, "/all", "X-Api-Key", key),
				"a certificate and another's key": both.get(t, "/all", "X-Api-Key", bobs, "Authorization", token),
				"a certificate alone":             both.get(t, "/all"),
			} {
				if a.StatusCode != 401 {
					t.Errorf("%s: got %d", what, a.StatusCode)
				}
			}
		})
	}
	f.AwaitAccess("of two consumers", func(l gateway.Line) bool { return strings.Contains(fmt.Sprint(l["verdicts"]), "different_consumers") })
}

// What a caller may do: by scopes, groups, claims and a condition.
func TestAuthorize(t *testing.T) {
	t.Parallel()
	key, hash := apiKey(t)
	bobs, bobsHash := apiKey(t)
	rs := newSigner(t, jose.RS256, "rs-1")
	f := open(t, setting{
		consumers: fmt.Sprintf(`
  - { id: acme, groups: [partners], credentials: [ { api_key: %q, scopes: [orders:read] } ] }
  - { id: bob, groups: [staff], credentials: [ { api_key: %q } ] }
`, hash, bobsHash),
		routes: `
  - { name: scopes, match: { path: /scopes }, upstream: app, policies: [ authorize: { scopes: [orders:write, orders:read] } ] }
  - { name: groups, match: { path: /groups }, upstream: app, policies: [ authorize: { groups: [partners] } ] }
  - { name: claims, match: { path: /claims }, upstream: app, policies: [ authorize: { claims: { email_verified: "true", realm.roles: [editor, owner] } } ] }
  - name: condition
    match: { path: /condition }
    upstream: app
    policies:
      - authorize:
          condition: |
            request.method == "GET" && request.query_params["area"] in auth.claims.areas &&
            ip_in(client.ip, "127.0.0.0/8") && request.headers["x-kind"] == "a"
  - { name: dry, match: { path: /dry }, upstream: app, policies: [ authorize: { dry_run: true, condition: "false" } ] }
  - { name: nobody, match: { path: /nobody }, upstream: app, policies: [ api_key: off, jwt: off, authorize: { groups: [partners] } ] }
`,
		more: fmt.Sprintf("policies:\n  - authenticate: {}\n  - api_key: {}\n  - jwt: { issuer: https://id.example, audience: orders, keys_file: %q, consumer_claim: client_id, consumer_required: false }\n",
			file(t, "keys.json", jwks(t, rs))),
	})
	token := func(c claims) []string { return []string{"Authorization", bearer(rs.token(t, c))} }
	scope := func(s string) string {
		return fmt.Sprintf(`Bearer error="insufficient_scope", scope=%q`, s)
	}
	for _, name := range allWays {
		t.Run(name, func(t *testing.T) {
			w := f.way(t, name, nil)
			for i, c := range []struct {
				path      string
				fields    []string
				status    int
				challenge string
			}{
				{"/scopes", token(claims{"scope": "orders:write x orders:read"}), 200, ""},
				{"/scopes", token(nil), 403, scope("orders:write orders:read")},
				{"/scopes", token(claims{"scope": nil}), 403, scope("orders:write orders:read")},
				{"/scopes", []string{"X-Api-Key", key}, 403, ""},
				{"/groups", []string{"X-Api-Key", key}, 200, ""},
				{"/groups", token(nil), 200, ""}, // the token names acme
				{"/groups", []string{"X-Api-Key", bobs}, 403, ""},
				{"/groups", token(claims{"client_id": "nobody"}), 403, ""},
				{"/claims", token(claims{"email_verified": true, "realm": claims{"roles": []string{"x", "owner"}}}), 200, ""},
				{"/claims", token(claims{"email_verified": true, "realm": claims{"roles": []string{"x"}}}), 403, ""},
				{"/claims", token(claims{"email_verified": false, "realm": claims{"roles": []string{"owner"}}}), 403, ""},
				{"/claims", token(nil), 403, ""},
				{"/condition?area=eu", append(token(claims{"areas": []string{"us", "eu"}}), "X-Kind", "a"), 200, ""},
				{"/condition?area=eu", append(token(claims{"areas": []string{"us"}}), "X-Kind", "a"), 403, ""},
				{"/condition?area=eu", token(claims{"areas": []string{"eu"}}), 403, ""}, // no field to judge by
				{"/condition", append(token(claims{"areas": []string{"eu"}}), "X-Kind", "a"), 403, ""},
				{"/condition?area=eu&area=us", append(token(claims{"areas": []string{"eu"}}), "X-Kind", "a"), 403, ""},
				{"/condition?area=eu", append(token(nil), "X-Kind", "a"), 403, ""}, // no such claim
				{"/dry", token(nil), 200, ""},
				{"/nobody", []string{"X-Api-Key", key}, 403, ""},
			} {
				a := w.get(t, c.path, c.fields...)
				code, challenges := "", []string(nil)
				if c.status == 403 {
					code = "forbidden"
				}
				if c.challenge != "" {
					challenges = []string{c.challenge}
				}
				a.expect(t, fmt.Sprintf("%d %s", i, c.path), c.status, code, challenges...)
			}
			w.get(t, "/groups").expect(t, "nobody", 401, "unauthenticated", `ApiKey realm="api"`, `Bearer realm="api"`)
			f.seen.Take()
		})
	}
	n := f.Numbers()
	for _, v := range []string{"scope", "group", "claim", "condition", "error", "dry_run_condition"} {
		if n.Sum("straum_policy_verdicts_total", `policy="authorize"`, fmt.Sprintf("verdict=%q", v)) == 0 {
			t.Errorf("authorize:%s is not counted", v)
		}
	}
}

// Clients of gRPC are told in their own words.
func TestGRPC(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var caller []string
	server := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		meta, _ := metadata.FromIncomingContext(ctx)
		caller = append(meta.Get("x-consumer-id"), meta.Get("x-api-key")...)
		return handle(ctx, r)
	}))
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	key, hash := apiKey(t)
	poor, poorHash := apiKey(t)
	f := open(t, setting{
		endpoint: listener.Addr().String(), upstream: "    protocol: http2",
		consumers: fmt.Sprintf("  - { id: acme, credentials: [ { api_key: %q, scopes: [a] }, { api_key: %q } ] }\n", hash, poorHash),
		routes:    "  - { name: all, match: { path: /* }, upstream: app, policies: [ api_key: {}, authorize: { scopes: [a] } ] }\n",
	})
	for _, secure := range []bool{true, false} {
		addr, creds := f.plain, insecure.NewCredentials()
		if secure {
			addr, creds = f.secure, credentials.NewTLS(f.authority.Trusting(host))
		}
		c, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(creds), grpc.WithAuthority(host), grpc.WithDisableRetry())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		for shown, want := range map[string]codes.Code{key: codes.OK, poor: codes.PermissionDenied, "": codes.Unauthenticated, "rubbish": codes.Unauthenticated} {
			ctx, cancel := context.WithTimeout(t.Context(), gateway.Patience)
			if shown != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "x-api-key", shown, "x-consumer-id", "forged")
			}
			caller = nil
			_, err := grpc_health_v1.NewHealthClient(c).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
			cancel()
			if status.Code(err) != want {
				t.Errorf("tls=%v: got %v, want %v", secure, err, want)
			}
			if want == codes.OK && fmt.Sprint(caller) != "[acme]" {
				t.Errorf("tls=%v: the endpoint is told %q", secure, caller)
			}
		}
	}
}
