package caller

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Mistakes about callers are found before anything runs, each at its file, line and column, and refuse the start.
func TestMistakes(t *testing.T) {
	t.Parallel()
	const top = `
listeners:
  - { name: main, address: "127.0.0.1:18080" }
upstreams:
  app: { endpoints: [ "127.0.0.1:18081" ] }
`
	for _, c := range []struct {
		name, text string
		at         string // what follows the name of the file
		want       string // a pattern in the message
		files      map[string]string
	}{
		{"an unknown option", "routes:\n  - match: { path: /* }\n    upstream: app\n    policies:\n      - api_key:\n          haeder: X-Key\n", "11:11", "haeder", nil},
		{"an unknown policy", "routes:\n  - match: { path: /* }\n    upstream: app\n    policies:\n      - api_kay: {}\n", "10:9", "api_kay", nil},
		{"a bad condition", "routes:\n  - match: { path: /* }\n    upstream: app\n    policies:\n      - authorize:\n          condition: request.method == \"GET\" && requst.path == \"/\"\n", "11:49", "requst", nil},
		{"a bad condition in lines", "routes:\n  - match: { path: /* }\n    upstream: app\n    policies:\n      - authorize:\n          condition: |\n            request.method == \"GET\" &&\n              request.pth == \"/\"\n", "13:15", "pth", nil},
		{"a condition that is no truth value", "routes:\n  - match: { path: /* }\n    upstream: app\n    policies:\n      - authorize:\n          condition: request.path\n", "11:", "true or false|bool", nil},
		{"two methods and nothing that says how", "routes:\n  - match: { path: /* }\n    upstream: app\n    policies:\n      - api_key: {}\n      - basic: {}\n", "11:9", "authenticate", nil},
		{"an unknown anonymous", "routes:\n  - match: { path: /* }\n    upstream: app\n    policies:\n      - api_key: {}\n      - authenticate: { anonymous: visitors }\n", "11:", "visitors", nil},
		{"an unknown consumer", "routes:\n  - match: { path: /* }\n    upstream: app\n    policies:\n      - authorize: { consumers: [ nobody ] }\n", "10:", "nobody", nil},
		{"an unknown plan", "consumers:\n  - id: acme\n    plan: platinum\nroutes:\n  - { match: { path: /* }, upstream: app }\n", "8:11", "platinum", nil},
		{"a bad hash", "consumers:\n  - id: acme\n    credentials:\n      - { api_key: \"sha256:tooshort\" }\nroutes:\n  - { match: { path: /* }, upstream: app }\n", "9:", "api_key|hash", nil},
		{"a key in the place of its hash", "consumers:\n  - id: acme\n    credentials:\n      - { api_key: straum_ABCDEFGH_SECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRETS }\nroutes:\n  - { match: { path: /* }, upstream: app }\n", "9:", "straum key hash|hash", nil},
		{"a bad password", "consumers:\n  - id: acme\n    credentials:\n      - basic: { username: ann, password: \"$2y$99$nothing\" }\nroutes:\n  - { match: { path: /* }, upstream: app }\n", "9:", "hash|bcrypt|password", nil},
		{"a bad end", "consumers:\n  - id: acme\n    credentials:\n      - { mtls: { dns: a.example }, expires: 2027-02-30 }\nroutes:\n  - { match: { path: /* }, upstream: app }\n", "9:", "2027-02-30|expires|day", nil},
		{"a short secret", "consumers:\n  - id: acme\n    credentials:\n      - hmac: { id: a, secret: short }\nroutes:\n  - { match: { path: /* }, upstream: app }\n", "9:", "32", nil},
		{"the same consumer twice", "consumers:\n  - id: acme\n  - id: acme\nroutes:\n  - { match: { path: /* }, upstream: app }\n", "8:9", "acme", nil},
		{"a missing keys_file", "routes:\n  - match: { path: /* }\n    upstream: app\n    policies:\n      - jwt: { issuer: a, audience: b, keys_file: nowhere.json }\n", "10:", "nowhere.json", nil},
		{"keys from afar without TLS", "routes:\n  - match: { path: /* }\n    upstream: app\n    policies:\n      - jwt: { issuer: a, audience: b, jwks: \"http://id.example/jwks\" }\n", "10:46", "https", nil},
		{"two sources of keys", "routes:\n  - match: { path: /* }\n    upstream: app\n    policies:\n      - jwt: { issuer: a, audience: b, jwks: \"https://id.example/jwks\", discovery: true }\n", "10:", "one of|discovery", nil},
		{"an unknown consumer of a webhook", "routes:\n  - match: { path: /* }\n    upstream: app\n    policies:\n      - webhook_signature: { scheme: github, secrets: 0123456789abcdef, consumer: nobody }\n", "10:", "nobody", nil},
		{"introspection from afar without TLS", "routes:\n  - match: { path: /* }\n    upstream: app\n    policies:\n      - introspection: { endpoint: \"http://id.example/i\", auth: none }\n", "10:", "https", nil},
		{"a bad line of credentials", "credential_files: [ keys ]\nroutes:\n  - { match: { path: /* }, upstream: app }\n", "", "keys:3", map[string]string{
			"keys": "# who\nconsumer=acme\napi_key=sha256:SECRETSECRET consumer=acme\n"}},
		{"missing credentials", "credential_files: [ keys ]\nroutes:\n  - { match: { path: /* }, upstream: app }\n", "6:", "keys", nil},
		{"a key twice", "consumers:\n  - id: acme\n    credentials:\n      - { api_key: \"" + keyHash("a") + "\" }\n  - id: bob\n    credentials:\n      - { api_key: \"" + keyHash("a") + "\" }\nroutes:\n  - { match: { path: /* }, upstream: app }\n", "12:", "acme|already|twice|line", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "straum.yaml")
			for name, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(path, []byte(top+c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			r := straum(t, "", nil, "check", "-c", path)
			text := r.out + r.errors
			t.Logf("%s", strings.ReplaceAll(text, dir, ""))
			if r.code != 3 {
				t.Errorf("got the exit code %d, want 3", r.code)
			}
			if c.at != "" && !strings.Contains(text, fmt.Sprintf("straum.yaml:%s", c.at)) {
				t.Errorf("it is not said to be at %s", c.at)
			}
			if !regexp.MustCompile(c.want).MatchString(text) {
				t.Errorf("nothing says %s", c.want)
			}
			if strings.Contains(text, "SECRET") {
				t.Error("a secret is shown")
			}
			if run := straum(t, "", nil, "run", "-c", path); run.code != 3 {
				t.Errorf("the program starts all the same, or ends with %d", run.code)
			}
		})
	}
}

// What is right in the same places is not complained of.
func TestNoMistake(t *testing.T) {
	t.Parallel()
	path := file(t, "straum.yaml", []byte(`
listeners:
  - { name: main, address: "127.0.0.1:18080" }
upstreams:
  app: { endpoints: [ "127.0.0.1:18081" ] }
plans: { gold: {} }
consumers:
  - { id: acme, plan: gold, credentials: [ { api_key: "`+keyHash("a")+`", expires: 2099-02-28 } ] }
routes:
  - match: { path: /* }
    upstream: app
    policies: [ api_key: {}, basic: {}, authenticate: {}, authorize: { condition: request.path == "/", consumers: [ acme ] } ]
`))
	if r := straum(t, "", nil, "check", "-c", path); r.code != 0 {
		t.Errorf("got %+v", r)
	}
}
