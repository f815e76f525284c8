package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const reference = "../../docs/configuration.md"

// TestReference holds docs/configuration.md against the types. Run it with -update after a change.
func TestReference(t *testing.T) {
	want := referencePage()
	if *update {
		if err := os.WriteFile(reference, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is stale; run: go test ./internal/config -run Reference -update", reference)
	}
}

func referencePage() string {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Generated from the types in internal/config by its test with -update. Edit the tags there. -->

One YAML file, read strictly: an unknown key, a wrong unit or a name that leads nowhere is an error with its
place and, where one is near, a suggestion. Examples: [minimal](../examples/minimal.yaml),
[an API](../examples/api.yaml), [every key](../examples/full.yaml), [TLS](../examples/tls.yaml).

| type | written as |
|---|---|
| duration | ` + "`250ms`, `5s`, `1h30m`; units us, ms, s, m, h; a plain `0` needs none" + ` |
| size | ` + "`8KiB`, `10MB`, or bytes as a plain number; KiB is 1024 bytes, KB 1000" + ` |
| percentage | ` + "`20%`, `0.5%`" + ` |
| network | ` + "`10.0.0.0/8`, `2001:db8::/32`, or a single address" + ` |
| secret | ` + "a string, better `${VARIABLE}` or `file:/path` (relative to the file it is in); it is never printed" + ` |

In any value ` + "`${NAME}` and `${NAME:-default}`" + ` are taken from the environment, ` + "`$$`" + ` is a dollar sign, and a value of
only a variable may stand for a number or for true and false. Anchors and aliases are allowed; merge keys and tags
are not. A key without a value is an error: write ` + "`{}`" + ` for the defaults.

A mapping whose keys all have defaults applies as a whole when it is left out, unless its text says it is off then.
`)
	section := ""
	for _, key := range Keys() {
		top, _, nested := strings.Cut(strings.NewReplacer("[]", "", ".<name>", "").Replace(key.Path), ".")
		if top != section {
			section = top
			fmt.Fprintf(&b, "\n## %s\n\n%s\n", top, key.Doc)
			typ := key.Type
			if key.Range != "" {
				typ += "; " + key.Range
			}
			fmt.Fprintf(&b, "Type: %s.\n", typ)
			if nested {
				panic("BUG: a section starts with a nested key")
			}
			started := false
			for _, k := range Keys() {
				if k.Path != key.Path && strings.HasPrefix(k.Path, key.Path) {
					if !started {
						b.WriteString("\n| key | type | default | allowed | meaning |\n|---|---|---|---|---|\n")
						started = true
					}
					row(&b, k.Path, k.Type, k.Default, k.Range, k.Doc, k.Required)
				}
			}
		}
	}
	return b.String()
}

func row(b *strings.Builder, path, typ, fallback, allowed, doc string, required bool) {
	switch {
	case required:
		fallback = "required"
	case fallback != "":
		fallback = "`" + fallback + "`"
	}
	escape := strings.NewReplacer("|", `\|`, "<name>", "*name*").Replace
	fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", escape(path), escape(typ), fallback, escape(allowed), escape(doc))
}
