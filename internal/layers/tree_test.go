package layers

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const module = "straum.dev/straum"

// folder is one package of the tree: its non-test files, whatever their build tags.
type folder struct {
	path  string // slash-separated, relative to the root
	doc   string
	files map[string]*ast.File // by path relative to the root
	fset  *token.FileSet
}

// parseTree reads all packages below root, in the order of their paths.
func parseTree(root string) ([]*folder, error) {
	folders := map[string]*folder{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
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
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		dir := path.Dir(relative)
		if folders[dir] == nil {
			folders[dir] = &folder{path: dir, files: map[string]*ast.File{}, fset: token.NewFileSet()}
		}
		return folders[dir].add(relative, file)
	})
	var sorted []*folder
	for _, f := range folders {
		sorted = append(sorted, f)
	}
	slices.SortFunc(sorted, func(a, b *folder) int { return strings.Compare(a.path, b.path) })
	return sorted, err
}

func (f *folder) add(relative, file string) error {
	parsed, err := parser.ParseFile(f.fset, file, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	f.files[relative] = parsed
	if parsed.Doc != nil {
		f.doc += parsed.Doc.Text()
	}
	return nil
}

// each calls visit for the files in the order of their names.
func (f *folder) each(visit func(file string, parsed *ast.File)) {
	var names []string
	for name := range f.files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		visit(name, f.files[name])
	}
}

// eachImport calls visit for every import, with its place as file:line. inside tells that the path is one of ours, and
// then it is relative to the root.
func (f *folder) eachImport(visit func(place, imported string, inside bool)) {
	f.each(func(file string, parsed *ast.File) {
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				panic("BUG: the parser let a malformed import through: " + spec.Path.Value)
			}
			short, inside := strings.CutPrefix(imported, module+"/")
			visit(f.place(file, spec.Pos()), short, inside)
		}
	})
}

func (f *folder) place(file string, pos token.Pos) string {
	return fmt.Sprintf("%s:%d", file, f.fset.Position(pos).Line)
}

// matches tells whether a path fits a pattern of the rules.
func matches(pattern, where string) bool {
	if above, ok := strings.CutSuffix(pattern, "/**"); ok {
		return below(above, where)
	}
	ok, err := path.Match(pattern, where)
	if err != nil {
		panic("BUG: a malformed pattern in the rules: " + pattern)
	}
	return ok
}

func matchesAny(patterns []string, where string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, where) })
}

// below tells whether where is the folder above or lies in it.
func below(above, where string) bool {
	return where == above || strings.HasPrefix(where, above+"/")
}
