package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Both are set by the linker: the version always, the commit in what is given out, which is built the same with and without git.
var version, commit string

// build says what is running.
type build struct{ Version, Commit, Go, Platform string }

func buildInfo() build {
	b := build{Version: version, Commit: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	dirty := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "-dirty"
			}
		}
	}
	if b.Commit != "unknown" {
		b.Commit += dirty
	}
	if commit != "" {
		b.Commit = commit
	}
	return b
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			b := buildInfo()
			_, err := fmt.Fprintf(c.OutOrStdout(), "straum %s\ncommit %s\n%s %s\n", b.Version, b.Commit, b.Go, b.Platform)
			return failed(err)
		},
	}
}
