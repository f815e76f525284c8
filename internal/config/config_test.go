package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"straum.dev/straum/internal/document"
)

// exampleOptions are what the examples need around them.
func exampleOptions() Options {
	return Options{
		Getenv: func(name string) (string, bool) {
			return "0123456789abcdef0123456789abcdef", strings.HasPrefix(name, "STRAUM_")
		},
		Policies: map[string]any{"request_id": struct{}{}},
	}
}

func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatal("examples are missing", files, err)
	}
	return files
}

func TestExamplesLoad(t *testing.T) {
	for _, file := range examples(t) {
		c, err := Load(file, exampleOptions())
		if err != nil {
			t.Errorf("%s", err)
			continue
		}
		if files := c.Files(); !slices.Equal(files, []string{file}) {
			t.Errorf("%s: read %v", file, files)
		}
	}
}

// TestFullExampleIsFull holds examples/full.yaml against the types: every key is there, and every default in
// it is the one in the tags, but for those that show an alternative.
func TestFullExampleIsFull(t *testing.T) {
	data, err := os.ReadFile("../../examples/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, err := document.Parse("full.yaml", data, document.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	written := make(map[string]bool)
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, below := range v {
				at := strings.TrimPrefix(path+"."+key, ".")
				if path == "upstreams" || path == "plans" {
					at = path + ".<name>"
				}
				written[at] = true
				walk(at, below)
			}
		case []any:
			for _, item := range v {
				walk(path+"[]", item)
			}
		}
	}
	walk("", d.Root().Any())
	for _, key := range Keys() {
		either := key.Path == "upstreams.<name>.health.tcp" || key.Path == "routes[].rewrite" || key.Path == "redis.master" || strings.HasPrefix(key.Path, "redis.sentinel_") || strings.HasPrefix(key.Path, "acme.dns.program") || strings.HasPrefix(key.Path, "consumers[].credentials[].mtls.") || key.Path == "credential_files[].file"
		if !written[key.Path] && !either {
			t.Errorf("examples/full.yaml has no %s", key.Path)
		}
		if key.Doc == "" {
			t.Errorf("%s has no doc", key.Path)
		}
	}
}

// TestViewLoadsAgain: what is printed as the configuration in force is that configuration.
func TestViewLoadsAgain(t *testing.T) {
	for _, file := range examples(t) {
		opt := exampleOptions()
		c, err := Load(file, opt)
		if err != nil {
			t.Fatal(err)
		}
		once, err := c.Redacted().YAML()
		if err != nil {
			t.Fatal(err)
		}
		once = bytes.ReplaceAll(once, []byte("'***'"), []byte("0123456789abcdef0123456789abcdef"))
		again, err := Parse(file, once, opt)
		if err != nil {
			t.Fatalf("%s: the view does not load: %v\n%s", file, err, once)
		}
		ignore := cmp.FilterPath(func(p cmp.Path) bool {
			return p.Last().Type() == reflect.TypeFor[document.Node]() || p.String() == "Include"
		}, cmp.Ignore())
		secrets := cmp.Comparer(func(a, b document.Secret) bool { return a.IsZero() == b.IsZero() }) // what they are is not printed
		nothing := cmp.Comparer(func(a, b struct{}) bool { return true })
		if diff := cmp.Diff(c, again, ignore, secrets, nothing, cmp.FilterPath(unexported, cmp.Ignore())); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
		asJSON, err := json.Marshal(c.Redacted())
		if err != nil {
			t.Fatal(err)
		}
		if fromJSON, err := Parse(file, bytes.ReplaceAll(asJSON, []byte(`"***"`), []byte(`"0123456789abcdef0123456789abcdef"`)), opt); err != nil {
			t.Errorf("%s: the JSON view does not load: %v", file, err)
		} else if view, _ := fromJSON.Redacted().YAML(); !bytes.Equal(view, bytes.ReplaceAll(once, []byte("0123456789abcdef0123456789abcdef"), []byte("'***'"))) {
			t.Errorf("%s: the JSON view says something else:\n%s", file, view)
		}
	}
}

func unexported(p cmp.Path) bool {
	f, ok := p.Last().(cmp.StructField)
	return ok && (f.Name() == "_" || f.Name()[0] >= 'a' && f.Name()[0] <= 'z')
}

func TestMainOnlyIsWhatPartLacks(t *testing.T) {
	part := make(map[string]bool)
	for _, key := range document.Keys(Part{}) {
		part[key.Path] = true
	}
	var want []string
	for _, key := range Keys() {
		if !strings.Contains(key.Path, ".") && !strings.Contains(key.Path, "[") && !part[key.Path] {
			want = append(want, key.Path)
		}
	}
	if !slices.Equal(want, mainOnly) {
		t.Errorf("mainOnly is %v, want %v", mainOnly, want)
	}
}

func compileSchema(t *testing.T, policies map[string]any) *jsonschema.Schema {
	t.Helper()
	text, err := Schema(policies)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("straum.json", parsed); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("straum.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchemaAgrees holds the schema against the decoder: on the examples, and on a good document with one
// thing wrong at a time.
func TestSchemaAgrees(t *testing.T) {
	type ban struct {
		For document.Duration `yaml:"for" default:"1m"`
		Key document.Secret   `yaml:"key"`
	}
	opt := exampleOptions()
	opt.Policies["ban"] = ban{}
	schema := compileSchema(t, opt.Policies)
	agree := func(name, text string, good bool) {
		t.Helper()
		d, err := document.Parse(name, []byte(text), document.Sources{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c, decodeErr := Parse(name, []byte(text), opt)
		if decodeErr == nil { // as compile does
			for _, p := range c.Policies {
				into := reflect.New(reflect.TypeOf(opt.Policies[p.Name]))
				decodeErr = errors.Join(decodeErr, p.Options.Decode(into.Interface()))
			}
		}
		schemaErr := schema.Validate(d.Root().Any())
		if (decodeErr == nil) != good {
			t.Errorf("%s: decoder: %v", name, decodeErr)
		}
		if (schemaErr == nil) != good {
			t.Errorf("%s: schema: %v", name, schemaErr)
		}
	}
	for _, file := range examples(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		agree(filepath.Base(file), strings.Replace(string(data), "include: [", "include: [] # [", 1), true)
	}
	const base = `
listeners:
  - address: ":8080"
    %s
upstreams:
  orders:
    endpoints: %s
    %s
policies:
  - %s
routes:
  - match: { path: %s }
    upstream: orders
    %s
%s
`
	for _, c := range []struct {
		at   int
		text string
		good bool
	}{
		{0, "", true},
		{0, "sockets: 4", true},
		{0, "sockets: -1", false},
		{0, "sockets: 1000", false},
		{0, `sockets: "4"`, false},
		{0, "sockets: 1.5", false},
		{0, "fast_open: true", true},
		{0, "fast_open: yes", false},
		{0, "fast_open: 1", false},
		{0, "name: public", true},
		{0, "name: Public", false},
		{0, "name:", false},
		{0, "nam: x", false},
		{0, "half_closed: serve", true},
		{0, "half_closed: server", false},
		{0, "half_closed: [serve]", false},
		{0, "limits: { body: 10MB }", true},
		{0, "limits: { body: 1024 }", true},
		{0, "limits: { body: 10kb }", false},
		{0, "limits: { body: -1 }", false},
		{0, "limits: [1]", false},
		{0, "limits: 5", false},
		{0, "timeouts: { header: 5s }", true},
		{0, "timeouts: { header: 5 }", false},
		{0, "timeouts: { header: 5 s }", false},
		{0, "timeouts: { header: 1h-30m }", false},
		{0, "proxy_protocol: { from: [10.0.0.0/8, '::1'] }", true},
		{0, "proxy_protocol: {}", false},
		{0, "proxy_protocol: { from: [] }", false},
		{0, "proxy_protocol: { from: [ten] }", false},
		{1, "[]", false},
		{1, "10.0.0.1:80", false},
		{1, "[{ address: 10.0.0.1:80, weight: 2 }]", true},
		{1, "[{ weight: 2 }]", false},
		{1, "[https://10.0.0.1]", true},
		{1, "[ftp://10.0.0.1]", false},
		{1, "[http://10.0.0.1, unix:/x]", true},
		{1, "[10.0.0.1]", false},
		{2, "balance: random", true},
		{2, "balance: rand", false},
		{2, "balance: { hash: { by: header:X-User } }", true},
		{2, "balance: { hash: { by: header } }", false},
		{2, "balance: { hash: {} }", false},
		{2, "balance: {}", false},
		{2, "balance: { hash: { by: client_ip }, sticky: { cookie: a } }", false},
		{2, "ejection: off", true},
		{2, "ejection: { base: 1s }", true},
		{2, "ejection: on", false},
		{2, "ejection: false", false},
		{2, "health: { tcp: true }", true},
		{2, "health: { path: /, tcp: true }", false},
		{2, "health: { every: 5s }", false},
		{2, "health: { path: / , status: 204 }", true},
		{2, "health: { path: / , status: [200-299, 304] }", true},
		{2, "health: { path: / , status: 2xx }", false},
		{2, "health: { path: / , jitter: 10 }", false},
		{2, "health:", false},
		{2, "retry: { attempts: 3, budget: 20% }", true},
		{2, "retry: { attempts: 11 }", false},
		{2, "slow_start: 0", true},
		{3, "ban: { for: 1h }", true},
		{3, "ban: { for: 1 }", false},
		{3, "ban: { fro: 1h }", false},
		{3, "ban: { key: 5 }", false},
		{3, "bam: {}", false},
		{3, "ban: {}\n    request_id: {}", false},
		{3, "ban", false},
		{3, "ban:", false},
		{4, "[/a, /b]", true},
		{4, "[]", false},
		{4, "a", false},
		{4, "/a, methods: get", false},
		{4, "/a, methods: GET", true},
		{4, "/a, headers: { X-Beta: \"1\" }", true},
		{4, "/a, headers: { X-Beta: 1 }", false},
		{4, "/a, headers: [X-Beta]", false},
		{5, "strip_prefix: /a", true},
		{5, "strip_prefix: /a\n    rewrite: /b", false},
		{5, "timeouts: { try: 0 }", true},
		{5, "timeouts: { try: 1 }", false},
		{5, "timeouts: { connect: 1s }", false},
		{6, "metrics: off", true},
		{6, "metrics: { address: 9900 }", false},
		{6, "admin: { token: 0123456789abcdef0123456789abcdefg }", true},
		{6, "admin: { token: 1234567890123456 }", false},
		{6, "log: { access: { to: off } }", true},
		{6, "log: { access: off }", false},
		{6, "shutdown: { drain: 1m }", true},
		{6, "shutdown: 1m", false},
		{6, "logs: {}", false},
	} {
		parts := []any{"", "[10.0.0.5:8080]", "", "request_id: {}", "/*", "", ""}
		parts[c.at] = c.text
		agree(c.text, fmt.Sprintf(base, parts...), c.good)
	}
}

func TestSecretsStaySecret(t *testing.T) {
	const secret = "hunter2hunter2hunter2"
	text := "listeners: [{address: ':1'}]\nadmin: { token: " + secret + " }\npolicies: [ { a: { k: " + secret + " } }, { b: { k: " + secret + ", " + "n: 1 } } ]\n"
	type options struct {
		K document.Secret `yaml:"k"`
		N int             `yaml:"n"`
	}
	c, err := Parse("x.yaml", []byte(text), Options{Policies: map[string]any{"a": options{}, "b": &options{}}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Admin.Token.Reveal() != secret {
		t.Fatal("the token is lost")
	}
	shown := make(map[string]string)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown[verb] = fmt.Sprintf(verb, c.Admin) + fmt.Sprintf(verb, &c.Admin) + fmt.Sprintf(verb, c) + fmt.Sprintf(verb, *c) + fmt.Sprintf(verb, c.Policies)
	}
	view, _ := c.Redacted().YAML()
	asJSON, _ := json.Marshal(c.Redacted())
	direct, _ := json.Marshal(c.Admin)
	shown["view"], shown["json"], shown["direct"] = string(view), string(asJSON), string(direct)
	_, err = Parse("x.yaml", []byte(strings.Replace(text, "address", "adress", 1)+"x: 1\nadmin2: { token: "+secret+" }"), Options{})
	shown["problems"] = err.(*document.Problems).Excerpts() + err.Error()
	for how, text := range shown {
		if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
			t.Errorf("%s shows the secret: %s", how, text)
		}
	}
	if !strings.Contains(string(view), "n: 1") {
		t.Errorf("the view hides an option that is no secret:\n%s", view)
	}
}

func TestManyRoutes(t *testing.T) {
	n := 100_000
	switch {
	case testing.Short():
		t.Skip("takes seconds")
	case raceEnabled:
		n = 10_000 // one goroutine, and ten times the time
	}
	c, err := Parse("x.yaml", manyRoutes(n), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Routes) != n || c.Routes[n-1].Node.Path() != fmt.Sprintf("routes[%d]", n-1) {
		t.Errorf("%d routes, the last at %s", len(c.Routes), c.Routes[n-1].Node.Path())
	}
}

func manyRoutes(n int) []byte {
	var b bytes.Buffer
	b.WriteString("listeners: [{ address: \":8080\" }]\nupstreams: { orders: { endpoints: [10.0.0.5:8080] } }\nroutes:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - name: r%d\n    match: { host: api.example.com, path: /orders/%d/*, methods: [GET, POST] }\n    upstream: orders\n", i, i)
	}
	return b.Bytes()
}

// TestVariablesAreNamed: whoever wants to check examples/full.yaml reads at its top which variables to set.
func TestVariablesAreNamed(t *testing.T) {
	data, err := os.ReadFile("../../examples/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	top, rest, _ := strings.Cut(string(data), "\n\n")
	used := regexp.MustCompile(`\$\{(STRAUM_[A-Z_]+)\}`).FindAllStringSubmatch(rest, -1)
	if len(used) == 0 {
		t.Error("no variable is used")
	}
	for _, variable := range used {
		if !strings.Contains(top, variable[1]) {
			t.Errorf("the first comment of examples/full.yaml does not name %s", variable[1])
		}
	}
}
