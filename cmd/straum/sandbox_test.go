package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/compile"
	"straum.dev/straum/internal/edge/chain"
)

// needing reads a configuration that lies in a directory of the test, and says what it needs.
func needing(t *testing.T, dir, text string) *need {
	t.Helper()
	file := filepath.Join(dir, "straum.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := compile.Compile(c, chain.Order)
	if err != nil {
		t.Fatal(err)
	}
	return needs(c, compiled)
}

const leastOf = `listeners: [{ address: ":8080" }]
upstreams: { app: { endpoints: ["127.0.0.1:1"] } }
routes: [{ match: { path: /* }, upstream: app }]
metrics: off
`

func TestNeedsOfAConfiguration(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"etc", "conf.d", "certs", "lists", "log", "state", "cache", "run", "link/target", "other"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"certs/a.crt", "certs/a.key", "lists/bad", "link/target/ca.pem", "other/secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("x", 40)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir+"/link/target/ca.pem", dir+"/link/ca.pem"); err != nil {
		t.Fatal(err)
	}
	n := needing(t, dir+"/etc", strings.NewReplacer("DIR", dir).Replace(`include: [DIR/conf.d/*.yaml]
listeners:
  - { address: ":8443", tls: { certificates: [{ cert: ../certs/a.crt, key: ../certs/a.key }], client: { ca: DIR/link/ca.pem } } }
  - { address: "unix:DIR/run/straum.sock" }
upstreams: { app: { endpoints: ["127.0.0.1:1"] } }
policies: [{ ip: { deny_files: [../lists/bad] } }]
routes: [{ match: { path: /* }, upstream: app }]
log: { access: { to: DIR/log/access.log } }
state: DIR/state
secret: file:DIR/other/secret
cache: { disk: { path: DIR/cache } }
bans: { kernel: true }
metrics: off
admin: off
sandbox: { read: [DIR/more, DIR/lists/below], write: [DIR/next] }
`))
	below := func(names ...string) (all []string) {
		for _, name := range names {
			all = append(all, filepath.Join(dir, name))
		}
		return all
	}
	if want := below("certs", "conf.d", "etc", "link", "lists", "more", "other"); !slices.Equal(n.read, want) {
		t.Errorf("to read: found %v, want %v", n.read, want)
	}
	if want := below("cache", "log", "next", "run", "state"); !slices.Equal(n.write, want) {
		t.Errorf("to write: found %v, want %v", n.write, want)
	}
	if !n.Move || len(n.Execute) > 0 || !slices.Equal(n.Capabilities, []string{"CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN"}) || len(n.lacking) > 0 {
		t.Errorf("found %+v", n)
	}
	for _, path := range []string{"/proc", "/sys"} {
		if _, err := os.Stat(path); err == nil && !slices.Contains(n.Read, path) {
			t.Errorf("%s may not be read", path)
		}
	}
	if os.Getuid() == 0 && (slices.Contains(n.Read, "/etc") || !slices.Contains(n.Read, "/etc/hosts")) {
		t.Errorf("root may read %v", n.Read)
	}
}

func TestNeedsThatAreToldOf(t *testing.T) {
	dir := t.TempDir()
	n := needing(t, dir, leastOf+"state: "+dir+"/gone\nadmin: { socket: "+dir+"/nowhere/sock }\nlog: { access: { to: /dev/null } }\nacme: { dns: { program: { command: [/bin/true] } } }\n")
	if !slices.Equal(n.Execute, []string{"/"}) || !slices.Contains(n.Write, os.TempDir()) {
		t.Errorf("found %+v", n.Wants)
	}
	if !slices.Equal(n.write, []string{"/dev/null"}) {
		t.Errorf("to write: found %v, want the device alone", n.write)
	}
	if len(n.lacking) != 1 || !strings.Contains(n.lacking[0], "acme.dns.program") {
		t.Errorf("lacking %q", n.lacking)
	}
	if n.Move || slices.Contains(n.Capabilities, "CAP_NET_ADMIN") {
		t.Errorf("found %+v", n.Wants)
	}

	n = needing(t, dir, leastOf+"state: "+dir+"/gone\nadmin: off\nlog: { access: { to: /dev/stdin } }\n") // an ordinary file, when it is redirected
	if !slices.Equal(n.write, []string{"/dev/stdin"}) || len(n.lacking) > 0 {
		t.Errorf("to write: found %v, want what was handed down alone; lacking %q", n.write, n.lacking)
	}

	n = needing(t, dir, leastOf+"log: { access: { to: "+dir+"/access.log } }\n")
	if len(n.lacking) != 1 || !strings.Contains(n.lacking[0], "the configuration "+dir+"/straum.yaml may be written to") {
		t.Errorf("lacking %q", n.lacking)
	}

	n = needing(t, dir, leastOf+"log: { access: { to: /var/log/straum.log } }\n")
	if len(n.lacking) != 1 || !strings.Contains(n.lacking[0], "all of /var/log may be written to") {
		t.Errorf("lacking %q", n.lacking)
	}
}

func TestOutermost(t *testing.T) {
	got := outermost([]string{"/b/c", "/a", "/b", "/a", "/bc", "/b/c/d"})
	if want := []string{"/a", "/b", "/bc"}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	if got := outermost([]string{"/etc", "/"}); !slices.Equal(got, []string{"/"}) {
		t.Errorf("found %v", got)
	}
}

func TestFewOfMany(t *testing.T) {
	for want, all := range map[string][]string{"nothing": nil, "a, b": {"a", "b"}, "1, 2, 3, 4, 5, 6, 7, 8 and 2 more": strings.Fields("1 2 3 4 5 6 7 8 9 10")} {
		if got := few(all); got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	}
}
