package chain

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
)

type failing struct{}

func (failing) Request(x *exchange.Exchange) { x.Fail(fault.New(fault.Internal, nil)) }

// Every policy has a name of its own, and a folder called by it.
func TestOrder(t *testing.T) {
	seen := map[string]bool{}
	for _, kind := range Order {
		if seen[kind.Name] || !regexp.MustCompile("^[a-z]+(_[a-z]+)*$").MatchString(kind.Name) {
			t.Errorf("%q is not a name of its own", kind.Name)
		}
		seen[kind.Name] = true
		folder := strings.ReplaceAll(kind.Name, "_", "")
		if _, err := os.Stat(filepath.Join("../policy", folder)); err != nil {
			t.Errorf("policy %s: %v", kind.Name, err)
		}
		if reflect.TypeOf(kind.Options).Kind() != reflect.Struct || kind.Build == nil {
			t.Errorf("policy %s has no options struct or cannot be built", kind.Name)
		}
	}
	schemas := Schemas(Order)
	if len(schemas) != len(Order) {
		t.Errorf("%d schemas of %d policies", len(schemas), len(Order))
	}
	entries, err := os.ReadDir("../policy")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !slices.ContainsFunc(Order, func(k policy.Kind) bool { return strings.ReplaceAll(k.Name, "_", "") == e.Name() }) {
			t.Errorf("the policy in %s is not in the order", e.Name())
		}
	}
}

// options reads options where they stand in a document.
type options struct{ node document.Node }

func (o options) Decode(into any) error { return o.node.Decode(into) }
func (options) Scope() string           { return "test" }

func (options) Upstream(string, string) error { return nil }

func (options) Beside(path string) string { return path }
func (o options) Errorf(_, format string, args ...any) error {
	return o.node.Errorf(format, args...)
}

// docs/policies.md lists the policies in running order; each has a page with every option and its default, and its examples are good.
func TestDocument(t *testing.T) {
	index := read(t, "../../../docs/policies.md")
	var listed []string
	for _, m := range regexp.MustCompile(`(?m)^\| \[`+"`"+`([a-z_]+)`).FindAllStringSubmatch(index, -1) {
		listed = append(listed, m[1])
	}
	var want []string
	for _, kind := range Order {
		want = append(want, kind.Name)
		page := read(t, "../../../docs/policies/"+kind.Name+".md")
		if !strings.HasPrefix(page, "# "+kind.Name+"\n") {
			t.Errorf("the page on %s does not begin with its name", kind.Name)
		}
		shape := reflect.TypeOf(kind.Options)
		for i := range shape.NumField() {
			tag := shape.Field(i).Tag
			key, _, _ := strings.Cut(tag.Get("yaml"), ",")
			if key == "" || key == "-" {
				continue // no key of the configuration
			}
			row := fmt.Sprintf("| `%s` |", key)
			if value := tag.Get("default"); value != "" {
				row += fmt.Sprintf(" `%s` |", value)
			}
			if !strings.Contains(page, row) {
				t.Errorf("the page on %s lacks the row %s", kind.Name, row)
			}
		}
		used := 0
		for _, example := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page, -1) {
			used += try(t, kind.Name, example[1])
		}
		if used == 0 {
			t.Errorf("the page on %s has no example with it", kind.Name)
		}
	}
	if fmt.Sprint(listed) != fmt.Sprint(want) {
		t.Errorf("the page lists %v, the order is %v", listed, want)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// try builds the policies on every route and those of each route of an example, and says how often one of them is there.
func try(t *testing.T, name, text string) int {
	t.Helper()
	secret := func(string) (string, bool) { return strings.Repeat("0123456789abcdef", 4), true }
	d, err := document.Parse(name+".md", []byte(text), document.Sources{Getenv: secret})
	if err != nil {
		t.Errorf("%v in\n%s", err, text)
		return 0
	}
	root := d.Root()
	used := build(t, name, root, "policies")
	if !root.Has("routes") {
		return used
	}
	routes, _ := root.At("routes").Any().([]any)
	for i := range routes {
		used += build(t, name, root.At("routes", i), "policies")
	}
	return used
}

// build builds a list of policies and says how often name is in it.
func build(t *testing.T, name string, at document.Node, key string) (used int) {
	t.Helper()
	if !at.Has(key) {
		return 0
	}
	list, _ := at.At(key).Any().([]any)
	for i, one := range list {
		for called := range one.(map[string]any) {
			if called == name {
				used++
			}
			k := slices.IndexFunc(Order, func(k policy.Kind) bool { return k.Name == called })
			if k < 0 {
				t.Errorf("there is no policy %s", called)
				continue
			}
			node := at.At(key, i, called)
			if node.IsOff() {
				continue
			}
			if _, err := Order[k].Build(options{node}); err != nil {
				t.Error(err)
			}
		}
	}
	return used
}
