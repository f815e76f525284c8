package policy_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policy/apikey"
	"straum.dev/straum/internal/edge/policy/authenticate"
	"straum.dev/straum/internal/edge/policy/basic"
	"straum.dev/straum/internal/edge/policy/forwardauth"
	"straum.dev/straum/internal/edge/policy/introspection"
	"straum.dev/straum/internal/edge/policy/jwt"
	"straum.dev/straum/internal/edge/policytest"
)

const (
	secret = "0123456789abcdef0123456789abcdef"
	key    = "a-key-of-another-gateway"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// token is one that is good until a while from now, or was.
func token(t *testing.T, good bool) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(secret)}, nil)
	check(t, err)
	end := time.Now().Unix() + 300
	if !good {
		end = 1
	}
	signed, err := signer.Sign(fmt.Appendf(nil, `{"iss":"us","aud":"orders","sub":"ann","exp":%d}`, end))
	check(t, err)
	text, err := signed.CompactSerialize()
	check(t, err)
	return text
}

// What endpoints see of several credentials, good and bad, when any method is enough: what was accepted, if its method forwards it, and
// nothing that nobody vouches for.
func TestWhatIsVouchedFor(t *testing.T) {
	w := policytest.New(t)
	b := consumer.NewBuilder()
	check(t, b.Consumer(consumer.Consumer{ID: "acme"}))
	check(t, b.Key("acme", consumer.KeySpec{Hash: consumer.Hash(key), Terms: consumer.Terms{ID: "k"}}))
	hash, err := consumer.ParsePassword("$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHQ$+d25HmU/im1WPZxoW5MMsI/pKHsazeJD5TNyqitZL0A")
	check(t, err)
	check(t, b.Basic("acme", consumer.BasicSpec{Username: "bob", Password: hash}))
	w.Consumers = b.Build()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"active":%t}`, r.FormValue("token") == "opaque")
	}))
	defer server.Close()
	service := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.Header.Get("Authorization"), " known") {
			rw.WriteHeader(401)
		}
	}))
	defer service.Close()
	use := func(kind policy.Kind, format string, args ...any) policytest.Use {
		return policytest.Use{Kind: kind, YAML: fmt.Sprintf(format, args...)}
	}
	anyOf := use(authenticate.Kind, "{}")
	allOf := use(authenticate.Kind, "{require: all}")
	tokens := use(jwt.Kind, "{issuer: us, audience: orders, secret: %s, cookie: t}", secret)
	keys := use(apikey.Kind, "{cookie: k}")
	keysOn := use(apikey.Kind, "{forward: true}")
	opaque := use(introspection.Kind, "{endpoint: '%s', auth: none}", server.URL)
	opaqueHidden := use(introspection.Kind, "{endpoint: '%s', auth: none, hide: true}", server.URL)
	passwords := use(basic.Kind, "{forward: true}")
	asks := use(forwardauth.Kind, "{url: '%s'}", service.URL)
	good, forged := token(t, true), token(t, false)
	f := func(name, want, lines string, uses ...policytest.Use) {
		t.Helper()
		x := w.Policies(uses...).Ask("GET / HTTP/1.1\nHost: a\n" + strings.NewReplacer("GOOD", good, "FORGED", forged, "KEY", key).Replace(lines))
		var all []string
		for _, f := range x.Request.Header.All() {
			if !f.Known.Ours() && f.Known != exchange.Host {
				all = append(all, f.Name+": "+f.Value)
			}
		}
		got := strings.NewReplacer(good, "GOOD", forged, "FORGED", key, "KEY").Replace(x.Caller.Method + " | " + strings.Join(all, " | "))
		if x.Fault != nil {
			got = fmt.Sprint(x.Fault.Kind.Status)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	f("a forged token beside a good key", "api_key | ", "X-Api-Key: KEY\nAuthorization: Bearer FORGED\n", anyOf, keys, tokens)
	f("a good token beside a good key", "api_key | ", "X-Api-Key: KEY\nAuthorization: Bearer GOOD\n", anyOf, keys, tokens) // nobody asked
	f("a forged one in a cookie", "api_key | Cookie: a=b", "X-Api-Key: KEY\nCookie: a=b; t=FORGED\n", anyOf, keys, tokens)
	f("the key behind a forged token", "api_key | X-Api-Key: KEY", "X-Api-Key: KEY\nAuthorization: Bearer FORGED KEY\n", anyOf, keysOn, tokens)
	keysAsTokens := use(apikey.Kind, "{header: Authorization, scheme: Bearer, forward: true}")
	f("a key where tokens are", "api_key | Authorization: Bearer KEY", "Authorization: Bearer KEY\n", anyOf, keysAsTokens, tokens)
	f("a bad key beside a good token", "jwt | Authorization: Bearer GOOD", "X-Api-Key: bad\nAuthorization: Bearer GOOD\n", anyOf, keysOn, tokens)
	f("a bad key in a cookie", "jwt | Authorization: Bearer GOOD | Cookie: a=b", "Authorization: Bearer GOOD\nCookie: a=b; k=bad\n", anyOf, keys, tokens)
	f("a good token", "jwt | Authorization: Bearer GOOD", "Authorization: Bearer GOOD\n", anyOf, tokens, opaque)
	f("an opaque token", "introspection | Authorization: Bearer opaque", "Authorization: Bearer opaque\n", anyOf, tokens, opaque)
	f("an opaque token behind a tab", "introspection | Authorization: Bearer\topaque", "Authorization: Bearer\topaque\n", anyOf, tokens, opaque)
	f("an opaque token that is hidden", "introspection | ", "Authorization: Bearer opaque\n", anyOf, tokens, opaqueHidden)
	f("a good token beside a hidden one", "jwt | Authorization: Bearer GOOD", "Authorization: Bearer GOOD\n", anyOf, tokens, opaqueHidden)
	f("an opaque token and a forged cookie", "400", "Authorization: Bearer opaque\nCookie: t=FORGED\n", anyOf, tokens, opaque) // two for jwt
	f("a wrong password beside a good token", "jwt | Cookie: t=GOOD", "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte("bob:bad"))+"\nCookie: t=GOOD\n", anyOf, tokens, passwords)
	f("a wrong password behind a tab", "jwt | Cookie: t=GOOD", "Authorization: Basic\tYTpi\nCookie: t=GOOD\n", anyOf, tokens, passwords)
	right := "Basic " + base64.StdEncoding.EncodeToString([]byte("bob:pass:wörd"))
	f("a good password", "basic | Authorization: "+right, "Authorization: "+right+"\nCookie: t=FORGED\n", anyOf, tokens, passwords)
	f("a good password for a service too", "basic | Authorization: "+right, "Authorization: "+right+"\n", anyOf, passwords, asks)
	f("what a service accepts", "forward_auth | Authorization: Bearer known", "Authorization: Bearer known\n", anyOf, tokens, asks)
	f("what a service accepts beside", "forward_auth | Authorization: Basic known", "Authorization: Basic known\n", anyOf, passwords, asks)
	f("what no service was asked", "api_key | ", "X-Api-Key: KEY\nAuthorization: Digest a\n", anyOf, keys, asks)
	f("all, and all good", "api_key | X-Api-Key: KEY | Authorization: Bearer GOOD", "X-Api-Key: KEY\nAuthorization: Bearer GOOD\n", allOf, keysOn, tokens)
	f("all, and one hidden", "api_key | Authorization: Bearer GOOD", "X-Api-Key: KEY\nAuthorization: Bearer GOOD\n", allOf, keys, tokens)
	f("all, and one forged", "401", "X-Api-Key: KEY\nAuthorization: Bearer FORGED\n", allOf, keysOn, tokens)
	f("anonymous", "401", "Authorization: Bearer FORGED\n", use(authenticate.Kind, "{anonymous: acme}"), tokens)
}
