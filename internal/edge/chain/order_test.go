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
func (o options) Errorf(_, format string, args ...any) error {
	return o.node.Errorf(format, args...)
}

// docs/policies.md lists the policies in running order, has a section for each with every option and its default, and its examples
// are good.
func TestDocument(t *testing.T) {
	raw, err := os.ReadFile("../../../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	var listed []string
	for _, m := range regexp.MustCompile(`(?m)^\| \[`+"`"+`([a-z_]+)`).FindAllStringSubmatch(page, -1) {
		listed = append(listed, m[1])
	}
	var want []string
	for _, kind := range Order {
		want = append(want, kind.Name)
		section, found := sectionOf(page, kind.Name)
		if !found {
			t.Errorf("there is no section on %s", kind.Name)
			continue
		}
		shape := reflect.TypeOf(kind.Options)
		for i := range shape.NumField() {
			tag := shape.Field(i).Tag
			key, _, _ := strings.Cut(tag.Get("yaml"), ",")
			if row := fmt.Sprintf("| `%s` | `%s` |", key, tag.Get("default")); !strings.Contains(section, row) {
				t.Errorf("the section on %s lacks the row %s", kind.Name, row)
			}
		}
		examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(section, -1)
		if len(examples) == 0 {
			t.Errorf("the section on %s has no example", kind.Name)
		}
		for _, example := range examples {
			try(t, kind, example[1])
		}
	}
	if fmt.Sprint(listed) != fmt.Sprint(want) {
		t.Errorf("the page lists %v, the order is %v", listed, want)
	}
}

func sectionOf(page, name string) (string, bool) {
	_, rest, found := strings.Cut(page, "\n## "+name+"\n")
	section, _, _ := strings.Cut(rest, "\n## ")
	return section, found
}

// try builds every use of the policy in an example, wherever a list of policies stands in it.
func try(t *testing.T, kind policy.Kind, text string) {
	t.Helper()
	built := 0
	for chunk := range strings.SplitSeq(text, "- "+kind.Name+":") {
		if built++; built == 1 {
			continue
		}
		line, _, _ := strings.Cut(chunk, "\n")
		d, err := document.Parse("policies.md", []byte(line+"\n"), document.Sources{})
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if _, err := kind.Build(options{d.Root()}); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if built < 2 {
		t.Errorf("an example of %s does not use it:\n%s", kind.Name, text)
	}
}
