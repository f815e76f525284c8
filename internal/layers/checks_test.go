package layers

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

// row is a level of the tree.
type row struct {
	name, what string
	packages   []string
}

// rule is a pair of patterns, who and whom, with the reason in words.
type rule struct{ from, to, reason string }

// find is the first rule that fits, or nil.
func find(rules []rule, from, to string) *rule {
	i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.from, from) && matches(r.to, to) })
	if i < 0 {
		return nil
	}
	return &rules[i]
}

// rowOf is the index of the package's row, or -1.
func rowOf(where string) int {
	return slices.IndexFunc(rows, func(r row) bool { return matchesAny(r.packages, where) })
}

// checkLayers reports imports that go up, sideways, or against a ban, and packages without a row.
func checkLayers(folders []*folder) (faults []string) {
	for _, f := range folders {
		if rowOf(f.path) < 0 {
			faults = append(faults, fmt.Sprintf("%s: is in no row: add it to one in internal/layers/rules_test.go", f.path))
			continue
		}
		f.eachImport(func(place, imported string, inside bool) {
			if !inside || rowOf(imported) < 0 { // an unknown package is reported where it stands
				return
			}
			if why := refused(f.path, imported); why != "" {
				faults = append(faults, fmt.Sprintf("%s: %s may not import %s: %s", place, f.path, imported, why))
			}
		})
	}
	return faults
}

// refused is why one of our packages may not import another, or nothing.
func refused(from, to string) string {
	lower, higher := rows[rowOf(to)], rows[rowOf(from)]
	switch {
	case higher.name == "outside" || lower.name == "outside":
		if top(from) == top(to) && higher.name == "outside" {
			return ""
		}
		return outsideReason
	case higher.name == "aside":
		if lower.name == "0" || secondLevel(from) == secondLevel(to) {
			return ""
		}
		return asideReason
	case lower.name == "aside":
		if higher.name == "7" {
			return ""
		}
		return asideReason
	}
	if ban := find(bans, from, to); ban != nil {
		return ban.reason
	}
	switch {
	case rowOf(from) < rowOf(to):
		return fmt.Sprintf("row %s (%s) stands below row %s (%s), and a lower row never imports a higher one", higher.name, higher.what, lower.name, lower.what)
	case rowOf(from) == rowOf(to) && find(sideways, from, to) == nil:
		return fmt.Sprintf("both are in row %s (%s), and a row never imports sideways unless the rules say so", lower.name, lower.what)
	}
	return ""
}

func top(where string) string {
	first, _, _ := strings.Cut(where, "/")
	return first
}

func secondLevel(where string) string {
	parts := strings.SplitN(where, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// stepNamed finds the step in a package's doc: "Step 3", "Steps 2 and 10", "every step", "the eleven steps".
var stepNamed = regexp.MustCompile(`(?i)\bsteps?\s+\d|\b(every|any|all|each|eleven)(\s+the|\s+eleven)*\s+steps?\b`)

// checkDocs reports packages that do not say what they are for, or which step they serve.
func checkDocs(folders []*folder) (faults []string) {
	for _, f := range folders {
		switch {
		case strings.TrimSpace(f.doc) == "":
			faults = append(faults, fmt.Sprintf("%s: has no package comment: say its purpose, its step, and what it refuses to do", f.path))
		case matchesAny(stepPackages, f.path) && !stepNamed.MatchString(f.doc):
			faults = append(faults, fmt.Sprintf("%s: its package comment names no step: write for example \"Step 3, route.\" or \"Every step.\"", f.path))
		}
	}
	return faults
}

// checkForbidden reports packages from elsewhere, and ways of writing, that a part of the tree has no place for.
func checkForbidden(folders []*folder) (faults []string) {
	report := func(place, what, why string) { faults = append(faults, place+": "+what+": "+why) }
	for _, f := range folders {
		f.eachImport(func(place, imported string, inside bool) {
			if inside {
				return
			}
			for _, ban := range forbidden {
				if matches(ban.from, f.path) && below(ban.to, imported) && find(forbiddenAllowed, f.path, imported) == nil {
					report(place, "imports "+imported, ban.reason)
				}
			}
			if matchesAny(pure, f.path) && (imported == "net" || slices.ContainsFunc(impureImports, func(p string) bool { return below(p, imported) })) {
				report(place, "imports "+imported, "this package is pure: time, randomness and the outside world come as arguments")
			}
		})
		f.each(func(file string, parsed *ast.File) {
			ast.Inspect(parsed, func(node ast.Node) bool {
				if what, why := wayOfWriting(f.path, node); what != "" {
					report(f.place(file, node.Pos()), what, why)
				}
				return true
			})
		})
	}
	return faults
}

// standardLogger matches what package log does with the one logger of the process.
var standardLogger = regexp.MustCompile(`^(Print|Fatal|Panic|Output|Default|Set|Writer|Flags|Prefix)`)

// wayOfWriting judges one node of a file. It looks at names as they are written, so a renamed import escapes it: it
// guards against habit, not against intent.
func wayOfWriting(where string, node ast.Node) (what, why string) {
	switch node := node.(type) {
	case *ast.GoStmt:
		if matchesAny(pure, where) {
			return "starts a goroutine", "this package is pure: who calls it decides what runs at the same time"
		}
	case *ast.FuncDecl:
		if node.Recv == nil && node.Name.Name == "init" && below("internal", where) {
			return "has an init function", "nothing registers or reads anything by being imported; parts are joined in cmd/straum"
		}
	case *ast.SelectorExpr:
		pkg, ok := node.X.(*ast.Ident)
		name := node.Sel.Name
		switch {
		case name == "MethodByName" && where != "internal/layers":
			return "calls MethodByName", "one reachable call keeps every exported method: 13 MB of binary"
		case ok && pkg.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}, name) && matchesAny(pure, where):
			return "uses time." + name, "this package is pure: the time comes as an argument"
		case ok && pkg.Name == "log" && standardLogger.MatchString(name) && below("internal", where):
			return "uses log." + name, "the standard logger is global state; take a logger as an argument"
		case ok && pkg.Name == "os" && slices.Contains([]string{"Getenv", "LookupEnv", "Environ"}, name) && below("internal", where):
			return "uses os." + name, "libraries read no environment; cmd/straum does and hands it down"
		}
	}
	return "", ""
}
