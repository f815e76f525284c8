// Command pkgmap prints the packages of the tree with the step they serve and the first sentence of their doc, as the
// Markdown that stands in docs/map.md; -write FILE writes it there. It reads files as text and judges nothing: rules
// about docs are tests in internal/layers.
package main

import (
	"flag"
	"fmt"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	write := flag.String("write", "", "file to write instead of printing")
	flag.Parse()
	text, err := mapOf(".")
	if err == nil && *write != "" {
		err = os.WriteFile(*write, []byte(text), 0o644)
	} else if err == nil {
		fmt.Print(text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pkgmap:", err)
		os.Exit(1)
	}
}

// mapOf draws the map of the tree below root.
func mapOf(root string) (string, error) {
	docs, order, err := packageDocs(root)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# Map\n\nWritten by `make map` from the packages' own comments; a test says when it is stale.\n\n")
	b.WriteString("| package | step | what it is for |\n|---|---|---|\n")
	for _, dir := range order {
		synopsis := new(doc.Package).Synopsis(docs[dir])
		fmt.Fprintf(&b, "| %s | %s | %s |\n", dir, steps(docs[dir]), strings.ReplaceAll(synopsis, "|", `\|`))
	}
	return b.String(), nil
}

// packageDocs returns the package comments by folder, and the folders in the order of a walk. A package is a folder
// with Go files that are not tests; its comment may stand in any of them.
func packageDocs(root string) (docs map[string]string, order []string, err error) {
	docs = map[string]string{}
	err = filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if file != root && (name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		dir = filepath.ToSlash(dir)
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		if _, known := docs[dir]; !known {
			docs[dir] = ""
			order = append(order, dir)
		}
		docs[dir] += parsed.Doc.Text()
		return nil
	})
	return docs, order, err
}

// stepsNamed finds numbers ("Step 3", "steps 2 and 10") or all of them ("every step", "the eleven steps").
var stepsNamed = regexp.MustCompile(`(?i)\bsteps?\s+(\d+(?:(?:\s*,\s*and\s+|\s*,\s*|\s+and\s+|\s+to\s+|\s*[-–]\s*)\d+)*)|\b(?:every|any|all|each|eleven)(?:\s+the|\s+eleven)*\s+steps?\b`)

// steps is what a doc says first about the steps it serves: "3", "2 and 10", "all", or nothing.
func steps(doc string) string {
	found := stepsNamed.FindStringSubmatch(doc)
	switch {
	case found == nil:
		return ""
	case found[1] == "":
		return "all"
	default:
		return strings.Join(strings.Fields(found[1]), " ")
	}
}
