package route

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected output of the scripts")

// A script is commands and their expected output:
//
//	# comment
//	command
//	input lines
//	----
//	output lines, up to the first empty line
//
// Commands:
//
//	canonical  each input line is a raw path, in Go quotes if it needs them
//	host       each input line is a Host value
//	routes     each input line is: name key=value..., keys host, path, method
//	           (lists with commas), header, query (name:value), encoded_slash=yes,
//	           strip=prefix, rewrite=template; replaces the table
//	lookup     each input line is: METHOD host path[?query] [name:value...]
//	explain    the same, answered in words
//	rows       prints the table
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out := runScript(t, &script{}, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestDocument runs the examples of docs/routing.md: each block fenced as "route"
// is a script, and all blocks share one table.
func TestDocument(t *testing.T) {
	const file = "../../../docs/routing.md"
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const fence = "```route\n"
	s, out, blocks := &script{}, "", 0
	for rest := string(raw); ; blocks++ {
		before, after, found := strings.Cut(rest, fence)
		out += before
		if !found {
			break
		}
		block, tail, found := strings.Cut(after, "```\n")
		if !found {
			t.Fatal("block is not closed")
		}
		out += fence + runScript(t, s, block) + "```\n"
		rest = tail
	}
	if blocks < 5 {
		t.Errorf("only %d examples found in %s", blocks, file)
	}
	if *update {
		if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type script struct {
	table    *Table
	rewrites []*Rewrite
}

func runScript(t *testing.T, s *script, text string) (out string) {
	var b strings.Builder
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); {
		if lines[i] == "" || lines[i][0] == '#' {
			b.WriteString(lines[i] + "\n")
			i++
			continue
		}
		first := i
		for i < len(lines) && lines[i] != "----" {
			b.WriteString(lines[i] + "\n")
			i++
		}
		if i == len(lines) {
			t.Fatalf("line %d: command without ----", first+1)
		}
		b.WriteString("----\n")
		command, input := lines[first], lines[first+1:i]
		want := ""
		for i++; i < len(lines) && lines[i] != ""; i++ {
			want += lines[i] + "\n"
		}
		got := s.run(t, command, input)
		if got != want && !*update {
			t.Errorf("line %d: %s\n%s\ngot:\n%swant:\n%s", first+1, command, strings.Join(input, "\n"), got, want)
		}
		b.WriteString(got + "\n")
		i++
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func (s *script) run(t *testing.T, command string, input []string) string {
	var b strings.Builder
	switch command {
	case "canonical":
		for _, line := range input {
			raw := line
			if line[0] == '"' {
				var err error
				if raw, err = strconv.Unquote(line); err != nil {
					t.Fatal(err)
				}
			}
			c, _, err := AppendCanonical(nil, raw)
			switch {
			case err != nil:
				fmt.Fprintf(&b, "refused: %v\n", err)
			case c.EncodedSlash:
				fmt.Fprintf(&b, "%s (encoded slash)\n", c.Path)
			default:
				fmt.Fprintln(&b, c.Path)
			}
		}
	case "host":
		for _, line := range input {
			host, _ := AppendHost(nil, line)
			fmt.Fprintln(&b, host)
		}
	case "routes":
		return s.routes(t, input)
	case "lookup":
		for _, line := range input {
			fmt.Fprintln(&b, s.lookup(t, line))
		}
	case "explain":
		for _, line := range input {
			q, _, refused := parseRequest(t, line)
			if refused != nil {
				t.Fatal(refused)
			}
			fmt.Fprintf(&b, "client: %s\noperator: %s\n", s.table.Explain(q).Client, s.table.Explain(q).Operator)
		}
	case "rows":
		for _, r := range s.table.Rows() {
			methods := strings.Join(r.Methods, ",")
			if methods == "" {
				methods = "any"
			}
			fmt.Fprintf(&b, "%s | %s | %s | %s | %s (%s) | %s\n", r.Host, r.Path, methods, strings.Join(r.Conditions, ", "), r.Name, r.Source, r.Why)
		}
	default:
		t.Fatalf("no command %q", command)
	}
	return b.String()
}

func (s *script) routes(t *testing.T, input []string) string {
	var builder Builder
	var failed strings.Builder
	s.rewrites = nil
	for i, line := range input {
		fields := strings.Fields(line)
		spec := Spec{Index: i, Name: fields[0], Source: fmt.Sprintf("straum.yaml:%d", i+1)}
		var strip, template string
		for _, field := range fields[1:] {
			key, value, _ := strings.Cut(field, "=")
			name, equals, _ := strings.Cut(value, ":")
			switch key {
			case "host":
				spec.Hosts = strings.Split(value, ",")
			case "path":
				spec.Paths = strings.Split(value, ",")
			case "method":
				spec.Methods = strings.Split(value, ",")
			case "header":
				put(&spec.Headers, name, equals)
			case "query":
				put(&spec.Query, name, equals)
			case "encoded_slash":
				spec.EncodedSlash = value == "yes"
			case "strip":
				strip = value
			case "rewrite":
				template = value
			default:
				t.Fatalf("no key %q", key)
			}
		}
		builder.Add(spec)
		var r *Rewrite
		var err error
		if strip != "" {
			r, err = NewStripPrefix(strip, spec.Paths)
		} else if template != "" {
			r, err = NewRewrite(template, spec.Paths)
		}
		if err != nil {
			fmt.Fprintf(&failed, "%s: %v\n", spec.Source, err)
		}
		s.rewrites = append(s.rewrites, r)
	}
	table, err := builder.Build()
	if err != nil {
		fmt.Fprintln(&failed, err)
	}
	if failed.Len() > 0 {
		return failed.String()
	}
	s.table = table
	return "ok\n"
}

func put(m *map[string]string, name, value string) {
	if *m == nil {
		*m = make(map[string]string)
	}
	(*m)[name] = value
}

// fields is a HeaderGetter over a map with names in lower case.
type fields map[string]string

func (f fields) Header(name string) (string, bool) {
	value, ok := f[name]
	return value, ok
}

func parseRequest(t *testing.T, line string) (*Query, Canonical, error) {
	parts := strings.Fields(line)
	if len(parts) < 3 {
		t.Fatalf("request %q: want METHOD host path", line)
	}
	q := &Query{Method: parts[0]}
	q.Host, _ = AppendHost(nil, parts[1])
	path, query, _ := strings.Cut(parts[2], "?")
	q.RawQuery = query
	header := fields{}
	for _, p := range parts[3:] {
		name, value, _ := strings.Cut(p, ":")
		header[strings.ToLower(name)] = value
	}
	q.Header = header
	c, _, err := AppendCanonical(nil, path)
	q.Path = c.Path
	return q, c, err
}

// lookup does what the flow does: canonical form, lookup, encoded slash, rewrite.
func (s *script) lookup(t *testing.T, line string) string {
	q, c, err := parseRequest(t, line)
	if err != nil {
		return "refused: " + err.Error()
	}
	var m Match
	if r := s.table.Lookup(q, &m); r == MethodNotAllowed {
		return fmt.Sprintf("%v, allow: %s", r, m.Allow)
	} else if r != Found {
		return r.String()
	}
	if c.EncodedSlash && !m.EncodedSlash {
		return "refused: " + ErrEncodedSlash.Error()
	}
	out := m.Name + " by " + m.Pattern
	for i := range m.Params() {
		name, value := m.ParamAt(i)
		out += fmt.Sprintf(" {%s}=%s", name, value)
	}
	if strings.HasSuffix(m.Pattern, "/*") {
		out += " *=" + m.Rest()
	}
	if r := s.rewrites[m.Route]; r != nil {
		out += " -> " + string(r.Append(nil, q.Path, &m))
	}
	return out
}
