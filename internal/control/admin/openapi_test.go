package admin

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// openAPI is what these tests need of the document.
type openAPI struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		OperationID string
		Summary     string
		Parameters  []struct{ Name, In string }
		Responses   map[string]struct {
			Content map[string]struct{ Schema map[string]any }
		}
	}
	Components struct {
		Schemas         map[string]map[string]any
		SecuritySchemes map[string]any
	}
}

func readOpenAPI(t *testing.T, text []byte) (doc openAPI) {
	t.Helper()
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// operations lists METHOD path, in order.
func (d *openAPI) operations() (all []string) {
	for path, item := range d.Paths {
		for method := range item {
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(all)
	return all
}

func TestOpenAPI(t *testing.T) {
	text := newWorld(t).admin().openapi
	const golden = "testdata/openapi.json"
	if *update {
		if err := os.WriteFile(golden, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != string(want) {
		t.Errorf("the document has changed; look at it with: go test ./internal/control/admin -run OpenAPI -update, then git diff")
	}

	doc := readOpenAPI(t, text)
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("the version is %s", doc.OpenAPI)
	}
	seen := map[string]bool{}
	for path, item := range doc.Paths {
		for method, op := range item {
			where := method + " " + path
			if op.OperationID == "" || seen[op.OperationID] || op.Summary == "" {
				t.Errorf("%s: operationId %q, summary %q: want one of its own and some words", where, op.OperationID, op.Summary)
			}
			seen[op.OperationID] = true
			if len(op.Responses["200"].Content) != 1 {
				t.Errorf("%s: says nothing of its answer", where)
			}
			if len(op.Responses["401"].Content) != 1 {
				t.Errorf("%s: does not say that it can ask for a token", where)
			}
			for _, name := range regexp.MustCompile(`{(\w+)}`).FindAllStringSubmatch(path, -1) {
				if !slices.ContainsFunc(op.Parameters, func(p struct{ Name, In string }) bool { return p.Name == name[1] && p.In == "path" }) {
					t.Errorf("%s: the parameter %s is not declared", where, name[1])
				}
			}
		}
	}
	for _, ref := range regexp.MustCompile(`"\$ref": "([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
		name, ok := strings.CutPrefix(ref[1], "#/components/schemas/")
		if !ok || doc.Components.Schemas[name] == nil {
			t.Errorf("%s leads nowhere", ref[1])
		}
	}
}

// The document has all that routes.go lists, and what it has answers there.
func TestOpenAPIHasAllRoutes(t *testing.T) {
	source, err := os.ReadFile("routes.go")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range regexp.MustCompile(`(get|post)\("[a-z-]+", "(/[^"]*)"`).FindAllStringSubmatch(string(source), -1) {
		listed = append(listed, strings.ToUpper(m[1])+" "+m[2])
	}
	slices.Sort(listed)
	doc := readOpenAPI(t, newWorld(t).admin().openapi)
	if got := doc.operations(); len(listed) == 0 || !slices.Equal(got, listed) {
		t.Errorf("the document has\n%s\nroutes.go has\n%s", strings.Join(got, "\n"), strings.Join(listed, "\n"))
	}
}

// conforms holds an answer against what the document says of it.
func conforms(t *testing.T, doc *openAPI, raw []byte, operation, status, contentType, body string) {
	t.Helper()
	method, path, _ := strings.Cut(operation, " ")
	content := doc.Paths[path][strings.ToLower(method)].Responses[status].Content
	kind, known := content[contentType]
	if !known {
		t.Errorf("%s: answers %s with %s, the document knows %v", operation, status, contentType, slices.Collect(maps.Keys(content)))
		return
	}
	if !strings.HasSuffix(contentType, "json") {
		return
	}
	whole, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	closeObjects(whole)
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", whole); err != nil {
		t.Fatal(err)
	}
	pointer := "#/paths/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(path) + "/" + strings.ToLower(method) + "/responses/" + status +
		"/content/" + strings.NewReplacer("/", "~1").Replace(contentType) + "/schema"
	schema, err := compiler.Compile("openapi.json" + pointer)
	if err != nil {
		t.Fatalf("%s: %v in %v", operation, err, kind)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%s: the answer is not as documented: %v", operation, err)
	}
}

// closeObjects refuses properties that are not in the document. Clients are told to bear with them; here they are mistakes.
func closeObjects(node any) {
	switch node := node.(type) {
	case map[string]any:
		if properties, ok := node["properties"].(map[string]any); ok && len(properties) > 0 {
			node["additionalProperties"] = false
		}
		for _, below := range node {
			closeObjects(below)
		}
	case []any:
		for _, below := range node {
			closeObjects(below)
		}
	}
}
