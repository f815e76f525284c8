package compile

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gaissmai/bart"
	"github.com/rogpeppe/go-internal/txtar"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/chain"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/upstream"
)

var update = flag.Bool("update", false, "rewrite the expected parts of testdata")

// TestScripts runs testdata/*.txtar. Each archive holds straum.yaml, perhaps other files, and what comes of it: "compiled", or
// "problems" with excerpts.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) { runScript(t, script) })
	}
}

func runScript(t *testing.T, script string) {
	archive, err := txtar.ParseFile(script)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	var keep []txtar.File
	var want txtar.File
	for _, f := range archive.Files {
		if f.Name == "compiled" || f.Name == "problems" {
			want = f
			continue
		}
		files[f.Name] = f.Data
		keep = append(keep, f)
	}
	got := txtar.File{Name: "compiled"}
	c, err := parse(t, files)
	if err == nil {
		var compiled *Compiled
		if compiled, err = Compile(c, kinds); err == nil {
			got.Data = []byte(describe(compiled))
		}
	}
	if err != nil {
		problems, ok := err.(*document.Problems)
		if !ok {
			t.Fatalf("got %T, want *document.Problems: %v", err, err)
		}
		got = txtar.File{Name: "problems", Data: []byte(problems.Excerpts() + "\n")}
	}
	if *update {
		archive.Files = append(keep, got)
		if err := os.WriteFile(script, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got.Name != want.Name || string(got.Data) != string(want.Data) {
		t.Errorf("got %s\n%s\nwant %s\n%s", got.Name, got.Data, want.Name, want.Data)
	}
}

func parse(t *testing.T, files map[string][]byte) (*config.Config, error) {
	t.Helper()
	return config.Parse("straum.yaml", files["straum.yaml"], config.Options{
		ReadFile: func(path string) ([]byte, error) {
			if data, ok := files[path]; ok {
				return data, nil
			}
			return nil, os.ErrNotExist
		},
		Glob:     func(pattern string) ([]string, error) { return []string{pattern}, nil },
		Policies: chain.Schemas(kinds),
	})
}

// kinds are the real policies and one that can go wrong in every way.
var kinds = append(append([]policy.Kind{}, chain.Order...), policy.Kind{Name: "brittle", Options: brittle{}, Build: func(o policy.Options) (any, error) {
	var b brittle
	if err := o.Decode(&b); err != nil {
		return nil, err
	}
	switch b.Fail {
	case "option":
		return nil, o.Errorf("fail", "found %q; allowed: anything else", b.Fail)
	case "absent":
		return nil, o.Errorf("other", "other is required here")
	case "whole":
		return nil, o.Errorf("", "the two options contradict each other")
	case "plain":
		return nil, fmt.Errorf("an error without a place")
	}
	return &b, nil
}})

type brittle struct {
	Fail  string `yaml:"fail" doc:"How to fail."`
	Other string `yaml:"other" doc:"Nothing."`
}

func (*brittle) Request(*exchange.Exchange) {}

// describe writes out what was compiled, leaving out what is zero.
func describe(c *Compiled) string {
	var b strings.Builder
	for _, l := range c.Listeners {
		fmt.Fprintf(&b, "listener %s\n", l.Listen.Name)
		proxy := l.Listen.Proxy
		l.Listen.Proxy = nil
		fmt.Fprintf(&b, "  %s\n  proxy headers from %s\n  trusts %s\n  %s\n", plain(l.Listen), networkList(proxy), networkList(l.Trusted), plain(l.HTTP1))
		fmt.Fprintf(&b, "  http2 %s\n", plain(l.HTTP2))
		if l.TLS != nil {
			l.TLS.At = document.Node{}
			fmt.Fprintf(&b, "  tls %s\n", plain(*l.TLS))
		}
		if l.HSTS != "" || l.Redirect != 0 {
			fmt.Fprintf(&b, "  hsts %q redirect %d\n", l.HSTS, l.Redirect)
		}
	}
	upstreams, err := c.Upstreams(func(string) int { return 7 }, func(t *Trust) (*upstream.TLS, error) {
		fmt.Fprintf(&b, "trust %s\n", plain(*t))
		return &upstream.TLS{ServerName: t.ServerName}, nil
	})
	if err != nil {
		return err.Error()
	}
	for _, u := range upstreams {
		fmt.Fprintf(&b, "upstream %s slot %d\n", u.Name, u.Slot)
		for _, e := range u.Endpoints {
			fmt.Fprintf(&b, "  endpoint %s weight %d\n", e.Address, e.Weight)
		}
		fmt.Fprintf(&b, "  balance %s %s\n  key %s\n  health %s\n", u.Balance.Kind, plain(u.Balance), plain(u.Key), plain(u.Health))
		if u.Check != nil {
			fmt.Fprintf(&b, "  check %s\n", plain(*u.Check))
		}
		if u.Breaker != nil {
			fmt.Fprintf(&b, "  breaker %s errors %v\n", plain(*u.Breaker), u.BreakerErrors)
		}
		if u.TLS != nil || u.Protocol != upstream.HTTP1 {
			fmt.Fprintf(&b, "  tls %t protocol %d\n", u.TLS != nil, u.Protocol)
		}
		fmt.Fprintf(&b, "  pool %s\n  timeouts %s\n  retry %s\n  budget %s\n  host %s\n  resolve every %v at %q\n", plain(u.Pool), plain(u.Timeouts),
			plain(u.Retry), plain(u.Budget), plain(u.Host), u.ResolveEvery, u.ResolveServer)
	}
	if a := c.ACME; len(a.Names) > 0 {
		fmt.Fprintf(&b, "acme names %v\n  challenges %v key %q email %q directory %q staging %t roots %q profile %q account %q\n",
			a.Names, a.Challenges, a.Key, a.Email, a.Directory, a.Staging, c.ACMERoots, a.Profile, a.Binding.KeyID)
		if u := a.DNS.Update; u != nil {
			fmt.Fprintf(&b, "  update %s\n", plain(*u))
		}
		if p := a.DNS.Program; p != nil {
			fmt.Fprintf(&b, "  program %v %v %s\n", p.Path, p.Args, p.Timeout)
		}
	}
	live := map[string]*upstream.Upstream{}
	for _, u := range c.upstreams {
		live[u.Name] = new(upstream.Upstream)
	}
	chains, err := c.Bind(&policy.World{})
	if err != nil {
		return err.Error()
	}
	s := c.Snapshot(3, live, chains, func(name string) int { return len(name) })
	fmt.Fprintf(&b, "snapshot %d, without a route %s\n", s.Revision, steps(s.Default))
	for i, r := range s.Routes {
		fmt.Fprintf(&b, "route %s slot %d\n  upstream %s\n", r.Info.Name, r.Info.Slot, nameOf(live, r.Upstream))
		fmt.Fprintf(&b, "  policies %s, one chain with requests without a route: %t\n", steps(r.Chain), r.Chain == s.Default)
		fmt.Fprintf(&b, "  path %q, rewritten: %t\n  host %s\n  server timing: %t\n", c.routes[i].path, r.Rewrite != nil, plain(r.Host), r.Info.ServerTiming)
		if r.Timeouts != nil {
			fmt.Fprintf(&b, "  timeouts %s\n", plain(*r.Timeouts))
		}
	}
	for _, r := range c.Rows() {
		fmt.Fprintf(&b, "row %s %s %v %v -> %s at %s, %s %q %v: %s\n", r.Host, r.Path, r.Methods, r.Conditions, r.Name, r.Source, r.Upstream, r.Rewrite, r.Policies, r.Why)
	}
	return b.String()
}

// plain prints a struct without fields that are zero.
func plain(v any) string {
	var out []string
	text := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%+v", v), "{"), "}")
	for _, field := range strings.Fields(text) {
		_, value, ok := strings.Cut(field, ":")
		if ok && (value == "" || value == "0" || value == "0s" || value == "false" || value == "<nil>" || value == "[]" || value == "----------") {
			continue
		}
		out = append(out, field)
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, " ")
}

func networkList(l *bart.Lite) string {
	if l == nil {
		return "nobody"
	}
	var out []string
	for p := range l.AllSorted() {
		out = append(out, p.String())
	}
	return strings.Join(out, " ")
}

func nameOf(live map[string]*upstream.Upstream, u *upstream.Upstream) string {
	for name, have := range live {
		if have == u {
			return name
		}
	}
	return "none"
}

func steps(c *policy.Chain) string {
	return fmt.Sprintf("%d request, %d upstream response, %d response", len(c.Requests), len(c.UpstreamResponses), len(c.Responses))
}
