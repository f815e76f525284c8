package compile

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/chain"
)

// compiled is a whole configuration with rest in it. %DIR% stands for a directory that files are in.
func compiled(t *testing.T, rest string, files map[string]string) (*Compiled, *consumer.Directory) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(rest, "listeners:") {
		rest = "listeners: [{ address: ':8080' }]\n" + rest
	}
	text := "upstreams: { app: { endpoints: [127.0.0.1:3000] } }\n" + rest
	c, err := config.Parse(filepath.Join(dir, "straum.yaml"), []byte(text), config.Options{Policies: chain.Schemas(chain.Order)})
	if err != nil {
		t.Fatal(err)
	}
	out, err := Compile(c, chain.Order)
	if err != nil {
		t.Fatal(err)
	}
	consumers, err := out.Consumers()
	if err != nil {
		t.Fatal(err)
	}
	return out, consumers
}

var now = time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)

const (
	key    = `"sha256:RK8qM3yTHOOL5QgMBQBFjQHSi4p0OlX9UWx5Sdl91AM"`
	secret = "0123456789abcdef0123456789abcdef"
)

func TestWarnings(t *testing.T) {
	f := func(name, rest string, want ...string) {
		t.Helper()
		c, consumers := compiled(t, rest, nil)
		got := c.Warnings(consumers, now)
		for i := range got {
			got[i] = got[i][strings.Index(got[i], "straum.yaml"):]
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	route := func(policies string) string {
		return "routes: [{ name: a, match: { path: /a }, upstream: app, policies: [" + policies + "] }]\n"
	}
	asks := "listeners: [{ address: ':8443', tls: { certificates: [{ cert: a, key: b }], client: { ca: c } } }]\n"

	none := func(kind string) string {
		return "no consumer has a credential of the kind " + kind + ", so nobody is accepted by it; add one, or remove the policy"
	}
	f("no key", route("api_key: {}"), "straum.yaml:3:68: "+none("api_key"))
	f("no user name", route("basic: {}"), "straum.yaml:3:68: "+none("basic"))
	f("no secret", route("hmac: {}"), "straum.yaml:3:68: "+none("hmac"))
	f("no mark", asks+route("mtls: {}"), "straum.yaml:3:68: "+none("mtls"))
	f("no consumer asked for", asks+route("mtls: { consumer_required: false }"))
	f("no listener asks", route("mtls: { consumer_required: false }"), "straum.yaml:3:68: no listener asks clients for a certificate, so nobody is accepted by mtls; set client in the tls of a listener")
	f("told once", "policies: [api_key: {}]\nroutes:\n  - { match: { path: /a }, upstream: app }\n  - { match: { path: /b }, upstream: app }\n", "straum.yaml:3:12: "+none("api_key"))
	f("not where it is off", "policies: [api_key: {}]\n"+route("api_key: off"))
	f("another kind", "consumers: [{ id: acme, credentials: [{ hmac: { id: x, secret: "+secret+" } }] }]\n"+route("api_key: {}"), "straum.yaml:4:68: "+none("api_key"))
	f("all there", asks+"consumers: [{ id: acme, credentials: [{ api_key: "+key+" }, { basic: { username: ann, password: $2a$10$0Oe685hGvctrqgyXKIhrGO.Ry0xLn/IwRVr/.aotV168/7uArFFTa } }, { hmac: { id: x, secret: "+
		secret+" } }, { mtls: { dns: a.example } }] }]\n"+route("api_key: {}, basic: {}, hmac: {}, mtls: {}, authenticate: { require: any }"))

	nobody := func(key string) string {
		return "nothing there finds out who calls, so nobody has the " + key + " that authorize asks for; add a method such as api_key or jwt"
	}
	f("no method", route("authorize: { scopes: [x] }"), "straum.yaml:3:68: on the route a: "+nobody("scopes"))
	f("no method, claims", route("authorize: { claims: { role: x } }"), "straum.yaml:3:68: on the route a: "+nobody("claims"))
	f("a condition may ask for something else", route("authorize: { condition: 'request.method == \"GET\"' }"))
	f("no method on many routes", "policies: [authorize: { groups: [x] }]\nroutes:\n  - { name: a, match: { path: /a }, upstream: app }\n  - { name: b, match: { path: /b }, upstream: app }\n  - { name: c, match: { path: /c }, upstream: app, policies: [webhook_signature: { scheme: github, secrets: ["+secret+"] }] }\n",
		"straum.yaml:3:12: on the route a and 1 more: "+nobody("groups"))

	token := "jwt: { issuer: internal, audience: x, secret: " + secret + secret
	claim := "there are no consumers that the claim could name, "
	f("no consumers", route(token+", consumer_claim: sub }"), "straum.yaml:3:196: "+claim+"so everybody is refused; add them under consumers, or remove consumer_claim")
	f("no consumers, none needed", route(token+", consumer_claim: sub, consumer_required: false }"), "straum.yaml:3:196: "+claim+"so the claim is of no use; add them under consumers, or remove consumer_claim")
	f("consumers", "consumers: [{ id: acme }]\n"+route(token+", consumer_claim: sub }"))

	over := "the credential has expired, and is refused; take it away or give it another end"
	f("over", "consumers: [{ id: acme, credentials: [{ api_key: "+key+", expires: 2027-01-30 }] }]\n"+route("api_key: {}"), "straum.yaml:3:113: "+over)
	f("not over", "consumers: [{ id: acme, credentials: [{ api_key: "+key+", expires: 2027-01-31 }] }]\n"+route("api_key: {}"))

	believed := func(n string) string {
		return "everybody is believed (" + n + "), so that clients may say what address they have, and bans ban nobody, as they never ban who is believed; name the networks of your proxies"
	}
	f("everybody believed", "bans: {}\nlisteners: [{ address: ':8080', trusted_proxies: [10.0.0.0/8, 0.0.0.0/0], proxy_protocol: { from: ['::/0'] } }]\n",
		"straum.yaml:3:50: "+believed("0.0.0.0/0"), "straum.yaml:3:13: "+believed("::/0"))
	f("everybody believed, without bans", "listeners: [{ address: ':8080', trusted_proxies: [0.0.0.0/0] }]\n")
	f("some believed", "bans: {}\nlisteners: [{ address: ':8080', trusted_proxies: [10.0.0.0/8] }]\n")

	far := func(to string) string {
		return "the password is sent to " + to + " without TLS; whoever is on the way reads it and all else: set tls"
	}
	f("far", "redis: { addresses: ['203.0.113.7:6379'], password: x }\n", "straum.yaml:3:22: "+far("203.0.113.7:6379"))
	f("far sentinel", "redis: { addresses: ['10.0.0.1:6379', '[2001:db8::1]:6379'], mode: sentinel, master: m, sentinel_password: x }\n", "straum.yaml:3:39: "+far("[2001:db8::1]:6379"))
	f("far with TLS", "redis: { addresses: ['203.0.113.7:6379'], password: x, tls: {} }\n")
	f("far without a password", "redis: { addresses: ['203.0.113.7:6379'] }\n")
	f("near", "redis: { addresses: ['127.0.0.1:6379', '[::1]:6379', '10.1.2.3:6379', '[fd00::1]:6379', '100.64.1.1:6379', '[::ffff:192.168.0.1]:6379', 'redis:6379'], mode: cluster, password: x }\n")
}

func TestWarningsOfFiles(t *testing.T) {
	c, consumers := compiled(t, "credential_files: [keys]\nconsumers: [{ id: acme, credentials: [{ api_key: "+key+", expires: 2026-01-01 }] }]\n", map[string]string{"keys": `
api_key=sha256:zD1N8M0Vp8K7QvojQvHPWEMT78peBELfggh1Hh9Sfdg consumer=acme expires=2027-01-30
mtls=dns:a.example consumer=acme expires=2027-01-01
api_key=sha256:cwZewATdh5ZT_rWx60YeLsxtdCBc41dkNUt9lcq0gtU consumer=acme
`})
	f := func(want ...string) {
		t.Helper()
		got := c.Warnings(consumers, now)
		if len(got) != len(want) {
			t.Fatalf("%q, want %q", got, want)
		}
		for i := range got {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%s, want %s", got[i], want[i])
			}
		}
	}
	f("straum.yaml:4:113: the credential has expired", "2 of the credentials in credential_files have expired")
	if err := os.Chmod(c.directory.files[0].Path, 0o662); err != nil {
		t.Fatal(err)
	}
	f("straum.yaml:3:20: everybody on this machine may write to ", "straum.yaml:4:113: ", "2 of the credentials")
}

func TestWarningsAreBounded(t *testing.T) {
	var routes strings.Builder
	routes.WriteString("routes:\n")
	for i := range 30 {
		routes.WriteString("  - { match: { path: /p" + strconv.Itoa(i) + " }, upstream: app, policies: [api_key: {}] }\n")
	}
	c, consumers := compiled(t, routes.String(), nil)
	if got := c.Warnings(consumers, now); len(got) != 21 || got[20] != "and 10 more" {
		t.Errorf("%d: %q", len(got), got[len(got)-1])
	}
}

func TestRedisRefused(t *testing.T) {
	dir := t.TempDir()
	f := func(tls, broken, want string) {
		t.Helper()
		c, _ := compiled(t, "redis: { addresses: ['127.0.0.1:6379'], tls: { "+tls+" } }\n", nil)
		problems, is := c.RedisRefused(&os.PathError{Op: "open", Path: broken, Err: os.ErrNotExist}).(*document.Problems)
		if !is || !strings.HasPrefix(problems.All()[0].Path, want) {
			t.Errorf("%v, want it at %s", problems, want)
		}
	}
	f("ca: "+dir+"/x", dir+"/x", "redis.tls.ca")
	f("ca: "+dir+"/x, cert: "+dir+"/x.crt, key: "+dir+"/x.crt.key", dir+"/x", "redis.tls.ca")
	f("ca: "+dir+"/x, cert: "+dir+"/x.crt, key: "+dir+"/x.crt.key", dir+"/x.crt", "redis.tls.cert")
	f("ca: "+dir+"/x, cert: "+dir+"/x.crt, key: "+dir+"/x.crt.key", dir+"/x.crt.key", "redis.tls.key")
	f("server_name: a", "elsewhere", "redis")
}
