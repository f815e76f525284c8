package admin

import (
	"bytes"
	"encoding/json"
	"mime"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const page = "../../../docs/admin.md"

// An example is a block "http" with METHOD path and perhaps a body, followed by a block with the answer, whose first line is its
// status.
var example = regexp.MustCompile("(?s)```http\n([A-Z]+) (\\S+)(?: ([^\n]*))?\n```\n\n```(json|yaml)\n(.*?)```\n")

// TestDocs runs the examples of docs/admin.md in their order against a gateway that stands still, and holds the answers against the
// OpenAPI document. -update writes them anew.
func TestDocs(t *testing.T) {
	a := newWorld(t).admin()
	path := socketIn(t)
	a.serveFor(t, Settings{Socket: path})
	c := caller(t, "unix", path)
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	doc := readOpenAPI(t, a.openapi)

	shown := map[string]bool{}
	var written strings.Builder
	at := 0
	for _, m := range example.FindAllSubmatchIndex(text, -1) {
		group := func(i int) string {
			if m[2*i] < 0 {
				return ""
			}
			return string(text[m[2*i]:m[2*i+1]])
		}
		method, target, body := group(1), group(2), group(3)
		status, header, answer := ask(t, c, method, target, body, nil)
		kind, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
		operation := doc.operationOf(method, target)
		if operation == "" {
			t.Errorf("%s %s is no endpoint", method, target)
			continue
		}
		shown[operation] = true
		conforms(t, &doc, a.openapi, operation, strconv.Itoa(status), kind, answer)
		got := "# " + strconv.Itoa(status) + " " + kind + "\n" + indented(answer)
		if got != group(5) && !*update {
			t.Errorf("%s %s answers\n%s\nthe page has\n%s", method, target, got, group(5))
		}
		written.Write(text[at:m[10]])
		written.WriteString(got)
		at = m[11]
	}
	written.Write(text[at:])
	if *update {
		if err := os.WriteFile(page, []byte(written.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, operation := range doc.operations() {
		if !shown[operation] {
			t.Errorf("%s has no example on the page", operation)
		}
		if !strings.Contains(string(text), "\n### "+operation+"\n") {
			t.Errorf("%s has no heading on the page", operation)
		}
	}
}

// operationOf finds the operation that a target belongs to.
func (d *openAPI) operationOf(method, target string) string {
	target, _, _ = strings.Cut(target, "?")
	i := slices.IndexFunc(d.operations(), func(operation string) bool {
		m, path, _ := strings.Cut(operation, " ")
		return m == method && regexp.MustCompile("^"+regexp.MustCompile(`{\w+}`).ReplaceAllString(path, "[^/]+")+"$").MatchString(target)
	})
	if i < 0 {
		return ""
	}
	return d.operations()[i]
}

func indented(answer string) string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(answer), "", "  ") != nil {
		return answer
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
