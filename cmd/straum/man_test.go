package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var updateMan = flag.Bool("update-man", false, "write docs/man anew")

// manDir has the manual pages: what --help says, one page a subcommand, for packages to install.
const manDir = "../../docs/man"

// The pages say what the commands say. After a change of a command: go test ./cmd/straum -run ManPages -update-man
func TestManPages(t *testing.T) {
	pages := manPages(newRoot())
	if len(pages) < 10 {
		t.Fatalf("only %d pages were made; where did the commands go?", len(pages))
	}
	if *updateMan {
		writeMan(t, pages)
	}
	files, err := filepath.Glob(filepath.Join(manDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, ok := pages[filepath.Base(file)]; !ok {
			t.Errorf("%s is the page of no command", file)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		have, err := os.ReadFile(filepath.Join(manDir, name))
		if err != nil {
			t.Error(err)
		} else if string(have) != pages[name] {
			t.Errorf("%s does not say what the command says any more: go test ./cmd/straum -run ManPages -update-man", filepath.Join(manDir, name))
		}
	}
}

// The formatter that shows them finds nothing wrong with them.
func TestManPagesAreFormatted(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("groff is not installed")
	}
	var all strings.Builder
	pages := manPages(newRoot())
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		all.WriteString(pages[name])
	}
	c := exec.Command(groff, "-man", "-Tutf8", "-Kutf8", "-ww", "-z")
	c.Stdin = strings.NewReader(all.String())
	if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
}

func writeMan(t *testing.T, pages map[string]string) {
	t.Helper()
	if err := os.RemoveAll(manDir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(manDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(manDir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// manPages are the pages by their file names.
func manPages(root *cobra.Command) map[string]string {
	pages := map[string]string{}
	var all []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			all = append(all, manName(c))
			pages[manName(c)+".1"] = ""
		}
	}
	slices.Sort(all)
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			pages[manName(c)+".1"] = manPage(c, []string{"straum"})
		}
	}
	pages["straum.1"] = manPage(root, all)
	return pages
}

// manName is the name a command has as a page.
func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func manPage(c *cobra.Command, others []string) string {
	var r roff
	// No date and no version: a page is stale when its command has changed, and not with every commit.
	r.macro("TH", strings.ToUpper(manName(c)), "1", "", "Straum", "Straum")
	r.macro("nh") // a word that is broken cannot be searched for
	r.macro("SH", "NAME")
	r.text(manName(c) + ` - ` + lowered(c.Short))
	r.macro("SH", "SYNOPSIS")
	r.macro("B", synopsis(c))
	r.macro("SH", "DESCRIPTION")
	r.command(c)
	if len(c.Commands()) > 0 {
		r.macro("SH", "COMMANDS")
		for _, below := range c.Commands() {
			if below.IsAvailableCommand() && !c.HasParent() {
				r.entry(below.Name(), "", below.Short+".")
			} else if below.IsAvailableCommand() {
				r.macro("SS", synopsis(below))
				r.text(below.Short + ".")
				r.macro("PP")
				r.command(below)
				r.options(below)
				r.example(below)
			}
		}
	}
	if own := c.NonInheritedFlags(); own.HasAvailableFlags() {
		r.macro("SH", "OPTIONS")
		r.options(c)
	}
	if c.Example != "" {
		r.macro("SH", "EXAMPLES")
		r.example(c)
	}
	if strings.Contains(c.Long, exitHelp) {
		r.macro("SH", "EXIT STATUS")
		for line := range strings.Lines(exitHelp) {
			if code, meaning, ok := strings.Cut(strings.TrimSpace(line), "  "); ok {
				r.entry(code, "", meaning)
			}
		}
	}
	if !c.HasParent() {
		r.macro("SH", "FILES")
		r.entry("/etc/straum/straum.yaml", "", "The configuration of the service that packages install.")
		r.entry("/var/lib/straum", "", "What must outlive a restart: certificates, keys, quotas, bans.")
		r.entry("/run/straum/admin.sock", "", "The socket of the admin API, which the commands that speak to a running gateway use.")
	}
	r.macro("SH", "SEE ALSO")
	for i, other := range others {
		end := ","
		if i == len(others)-1 {
			end = ""
		}
		r.macro("BR", other, "(1)"+end)
	}
	return r.String()
}

func synopsis(c *cobra.Command) string {
	if !c.HasParent() {
		return "straum command [options]"
	}
	line := c.UseLine()
	if len(c.Commands()) > 0 && !strings.Contains(line, "command") {
		line = strings.TrimSuffix(line, " [flags]") + " command [flags]"
	}
	return strings.Replace(line, "[flags]", "[options]", 1)
}

// lowered begins with a small letter, unless the first word is a name.
func lowered(s string) string {
	if len(s) > 1 && s[1] >= 'A' && s[1] <= 'Z' {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// roff is a page under way, in the language of man(7).
type roff struct{ strings.Builder }

// macro is a line that begins with a request.
func (r *roff) macro(name string, arguments ...string) {
	r.WriteString("." + name)
	for _, a := range arguments {
		r.WriteString(` "` + strings.ReplaceAll(escaped(a), `"`, `\(dq`) + `"`)
	}
	r.WriteByte('\n')
}

// text is lines that are filled.
func (r *roff) text(s string) {
	for line := range strings.Lines(s) {
		line = escaped(strings.TrimRight(line, "\n"))
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, `\(aq`) {
			line = `\&` + line
		}
		r.WriteString(line + "\n")
	}
}

// verbatim is lines that stay as they are.
func (r *roff) verbatim(s string) {
	r.macro("RS", "4")
	r.macro("nf")
	r.text(strings.TrimRight(s, "\n"))
	r.macro("fi")
	r.macro("RE")
}

// entry is a word with what it means.
func (r *roff) entry(word, argument, meaning string) {
	r.macro("TP")
	r.WriteString(word2roff(word, argument) + "\n")
	r.text(meaning)
}

func word2roff(word, argument string) string {
	s := `\fB` + escaped(word) + `\fR`
	if argument != "" {
		s += ` \fI` + escaped(argument) + `\fR`
	}
	return s
}

// command is what a command says of itself: paragraphs, and lines that begin with spaces, which stay as they are. The exit codes have
// a section of their own.
func (r *roff) command(c *cobra.Command) {
	long := strings.Replace(c.Long, exitHelp, "", 1)
	if c.HasParent() && c.Parent().HasParent() { // how the gateway is found is said once a page
		long = strings.Replace(long, gatewayHelp, "", 1)
	} else if slices.ContainsFunc(c.Commands(), func(below *cobra.Command) bool { return strings.Contains(below.Long, gatewayHelp) }) && !strings.Contains(long, gatewayHelp) {
		long += "\n\n" + gatewayHelp
	}
	long = strings.TrimSpace(blankLines.ReplaceAllString(long, "\n\n"))
	if long == "" {
		long = c.Short + "."
	}
	for i, paragraph := range strings.Split(long, "\n\n") {
		if i > 0 {
			r.macro("PP")
		}
		lines := strings.Split(strings.Trim(paragraph, "\n"), "\n")
		for len(lines) > 0 {
			n := slices.IndexFunc(lines, indented)
			if n < 0 {
				n = len(lines)
			}
			r.text(strings.Join(lines[:n], "\n"))
			lines = lines[n:]
			if n = slices.IndexFunc(lines, func(s string) bool { return !indented(s) }); n < 0 {
				n = len(lines)
			}
			if n > 0 {
				r.verbatim(strings.TrimPrefix(strings.Join(lines[:n], "\n"), "  "))
			}
			lines = lines[n:]
		}
	}
}

var blankLines = regexp.MustCompile(`\n\n\n+`)

func indented(s string) bool { return strings.HasPrefix(s, "  ") }

func (r *roff) options(c *cobra.Command) {
	c.InitDefaultHelpFlag()
	c.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" {
			return
		}
		argument, usage := pflag.UnquoteUsage(f)
		word := "--" + f.Name
		if f.Shorthand != "" {
			word = "-" + f.Shorthand + ", " + word
		}
		switch f.DefValue {
		case "", "false", "0", "0s", "[]":
		default:
			usage += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		r.entry(word, argument, usage)
	})
}

func (r *roff) example(c *cobra.Command) {
	if c.Example == "" {
		return
	}
	var lines []string
	for line := range strings.Lines(c.Example) {
		lines = append(lines, strings.TrimPrefix(strings.TrimRight(line, "\n"), "  "))
	}
	r.macro("PP")
	r.verbatim(strings.Join(lines, "\n"))
}

var escapes = strings.NewReplacer(`\`, `\(rs`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`)

// escaped keeps characters what they are: the formatter would make a hyphen of -, which cannot be pasted into a shell, and quotation
// marks of ' and `.
func escaped(s string) string { return escapes.Replace(s) }
