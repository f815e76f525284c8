package box_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/boxtest"
)

var update = flag.Bool("update", false, "write the golden files")

// keys stand for every kind of setting: a network namespace's, the machine's, one that nobody may write, one that came or went.
var keys = []string{
	"net.core.somaxconn", "net.core.rmem_max", "net.core.netdev_max_backlog", "net.core.optmem_max", "net.core.default_qdisc",
	"net.ipv4.tcp_rmem", "net.ipv4.tcp_mem", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_migrate_req", "net.ipv4.tcp_tw_recycle",
	"net.ipv4.tcp_available_congestion_control", "net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_tcp_loose",
	"fs.file-max", "vm.swappiness", "kernel.osrelease",
}

// What is found out of each tree, and what may be set on it.
func TestGolden(t *testing.T) {
	for _, name := range boxtest.Names() {
		t.Run(name, func(t *testing.T) {
			m := boxtest.Tree(t, name, nil)
			facts := m.Facts()
			text, err := json.MarshalIndent(facts, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			fmt.Fprintf(&b, "%s\n\ncores: %g\naes: %v\n\n", text, facts.Cores(), slices.Contains(facts.Flags, "aes"))
			forbidden := func(what string, err error) {
				if err == nil {
					fmt.Fprintf(&b, "%s: may be set\n", what)
					return
				}
				if !errors.Is(err, box.ErrForbidden) {
					t.Errorf("%s: %v is no ErrForbidden", what, err)
				}
				fmt.Fprintf(&b, "%s: %v\n", what, err)
			}
			for _, key := range keys {
				forbidden(key, m.Forbidden(key))
			}
			for _, file := range []string{"/sys/kernel/mm/transparent_hugepage/enabled", "/sys/module/nf_conntrack/parameters/hashsize"} {
				forbidden(file, m.ForbiddenFile(file))
			}
			got := strings.ReplaceAll(b.String(), m.Root, "ROOT")
			golden := filepath.Join("testdata", "facts", name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("differs from %s; go test ./internal/box -update writes it anew\ngot:\n%s\nwant:\n%s", golden, got, want)
			}
		})
	}
}
