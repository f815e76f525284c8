// Command sbom writes what a binary of ours is made of: its bill of materials as CycloneDX 1.6 (ECMA-424) in JSON, and the licences of all that is
// linked into it, which have to go along with it. It reads the binary's own build information, so that it tells what was built and not what was
// meant, and the modules' licences from the module cache. The same binary gives the same bytes.
//
// It refuses to guess: a licence it does not know by its words is named by its file alone, and the exit code is 1 when a module has none.
//
//	go run ./scripts/sbom -binary dist/straum -version 1.2.0 -date 1700000000 -out dist/straum.cdx.json -licences dist/THIRD-PARTY.txt
package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

func main() {
	binary := flag.String("binary", "", "the `file` to tell of")
	version := flag.String("version", "", "its version")
	date := flag.Int64("date", 0, "when it was made, in `seconds` since 1970; SOURCE_DATE_EPOCH")
	out := flag.String("out", "", "the `file` for the bill of materials")
	licences := flag.String("licences", "", "the `file` for the licences of what is linked in; none when empty")
	flag.Parse()
	if err := run(*binary, *version, time.Unix(*date, 0).UTC(), *out, *licences); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(binary, version string, date time.Time, out, licences string) error {
	if binary == "" || version == "" || out == "" {
		return errors.New("-binary, -version and -out are needed")
	}
	data, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%s: %w", binary, err)
	}
	parts, err := linked(info)
	if err != nil {
		return err
	}
	encoded, err := json.MarshalIndent(bill(info, parts, version, date, sha256.Sum256(data)), "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, append(encoded, '\n'), 0o644); err != nil || licences == "" {
		return err
	}
	return os.WriteFile(licences, notices(parts), 0o644)
}

// part is a module that is linked in, or Go itself.
type part struct {
	path, version string
	sum           string // h1:... of go.sum; empty for Go
	dir           string
	texts         []text
	licence       string // an SPDX expression; empty when it is not known
}

// linked lists what a binary is made of, sorted by path, each with its licence.
func linked(info *debug.BuildInfo) ([]part, error) {
	dirs, err := moduleDirs()
	if err != nil {
		return nil, err
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	parts := []part{{path: "std", version: strings.TrimPrefix(info.GoVersion, "go"), dir: strings.TrimSpace(string(root))}}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		parts = append(parts, part{path: m.Path, version: m.Version, sum: m.Sum, dir: dirs[m.Path+"@"+m.Version]})
	}
	for i := range parts {
		p := &parts[i]
		if p.dir == "" {
			return nil, fmt.Errorf("%s@%s is not in the module cache: was the binary built from this tree?", p.path, p.version)
		}
		if p.texts, err = licenceTexts(p.dir); err != nil {
			return nil, err
		}
		if p.licence, err = recognise(p.texts); err != nil {
			return nil, fmt.Errorf("%s@%s: %w", p.path, p.version, err)
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(a.path, b.path) })
	return parts, nil
}

// moduleDirs says where the module cache has what go.mod names, by path@version.
func moduleDirs() (map[string]string, error) {
	list := exec.Command("go", "list", "-m", "-f", "{{.Path}}@{{.Version}}\t{{.Dir}}", "all")
	list.Stderr = os.Stderr
	text, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m all: %w", err)
	}
	dirs := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, dir, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			dirs[name] = filepath.FromSlash(dir)
		}
	}
	return dirs, nil
}
