package sandbox

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
)

// answer answers every request on a listener.
func answer(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			in := bufio.NewReader(c)
			for {
				r, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				r.Body.Close()
				if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
					return
				}
			}
		}()
	}
}

// TestOutsideIsRefusedWhereItStands reloads with a file outside, for every kind of key that names one.
func TestOutsideIsRefusedWhereItStands(t *testing.T) {
	needsRoot(t)
	listen, app, outside := gateway.Free(t), endpoint(t), t.TempDir()
	a := gateway.NewAuthority(t)
	pair := a.Issue([]string{"api.example"})
	for name, text := range map[string]string{"list": "192.0.2.0/24\n", "more.yaml": "routes: []\n", "secret": strings.Repeat("s", 32),
		"credentials.yaml": "consumers: []\n", "openapi.yaml": "openapi: 3.1.0\n"} {
		write(t, filepath.Join(outside, name), text)
	}
	g := gateway.Start(t, shutIn(listen, app, ""))
	awaitSandbox(t, g)
	if err := os.Symlink(filepath.Join(outside, "list"), filepath.Join(g.Dir, "list")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "more.yaml"), filepath.Join(g.Dir, "more.yaml")); err != nil {
		t.Fatal(err)
	}
	const read, written = "keeps it out of reach; what may be read: ", "does not let it be written; what may be: "
	base := shutIn(listen, app, "")
	for _, c := range []struct{ name, config, key, text string }{
		{"certificate", strings.Replace(base, "name: main\n", "name: main\n    tls: { certificates: ["+pair.YAML()+"] }\n", 1), "listeners[0].tls.certificates[0].cert", read},
		{"authorities of endpoints", strings.Replace(base, "routes:", "    tls: { ca: "+a.File+" }\nroutes:", 1), "upstreams.app.tls.ca", read},
		{"policy", base + "policies: [{ ip: { deny_files: [" + outside + "/list] } }]\n", "policies[0].ip.deny_files[0]", read},
		{"policy by a link", base + "policies: [{ ip: { deny_files: [list] } }]\n", "policies[0].ip.deny_files[0]", read},
		{"policy of a route", strings.Replace(base, "upstream: app\n", "upstream: app\n    policies: [{ validate: { openapi: "+outside+"/openapi.yaml } }]\n", 1), "routes[0].policies[0].validate.openapi", read},
		{"credentials", base + "credential_files: [" + outside + "/credentials.yaml]\n", "credential_files[0]", read},
		{"secret", base + "secret: file:" + outside + "/secret\n", "secret", read},
		{"include", base + "include: [" + outside + "/more.yaml]\n", "include[0]", read},
		{"include by a glob", base + "include: [" + outside + "/*.yaml]\n", "include[0]", read},
		{"include by a glob of directories", base + "include: [" + filepath.Dir(outside) + "/*/more.yaml]\n", "include[0]", read},
		{"include by a link", base + "include: [more.yaml]\n", "include[0]", read},
		{"log", base + "log: { access: { to: " + outside + "/access.log } }\n", "log.access.to", written},
		{"cache", base + "cache: { disk: { path: " + outside + "/cache } }\n", "cache.disk.path", written},
		{"socket", strings.Replace(base, "upstreams:", "  - { address: \"unix:"+outside+"/socket\" }\nupstreams:", 1), "listeners[1].address", written},
		{"admin", base + "admin: { socket: " + outside + "/admin }\n", "admin.socket", written},
		{"program", base + "acme: { dns: { program: { command: [/bin/true] } } }\n", "acme.dns.program", "does not let programs be run; restart"},
		{"kernel", base + "bans: { kernel: true }\n", "bans.kernel", "CAP_NET_ADMIN, which it takes, was given up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := g.Reload(c.config)
			if err == nil {
				t.Fatal("it was taken")
			}
			want := c.key + ": "
			if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), g.Config+":") {
				t.Errorf("got %v, want %q and %q", err, want, c.text)
			}
			if strings.Contains(err.Error(), "permission denied") {
				t.Errorf("got %v, which nobody understands", err)
			}
		})
	}
	if err := g.Reload(base); err != nil {
		t.Fatal(err)
	}
	served(t, listen)
}

// TestIncludedDirectories has a directory for each site: one that is added later is found, and none vanishes with a reload.
func TestIncludedDirectories(t *testing.T) {
	needsRoot(t)
	listen, app, sites := gateway.Free(t), endpoint(t), t.TempDir()
	site := func(name string) {
		write(t, filepath.Join(sites, name, "site.yaml"), "routes: [{ name: "+name+", match: { path: /"+name+" }, policies: [{ respond: { status: 204 } }] }]\n")
	}
	site("first")
	base := shutIn(listen, app, "include: ["+sites+"/*/site.yaml]\n")
	g := gateway.Start(t, base)
	awaitSandbox(t, g)
	site("second")
	if err := g.Reload(base); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first", "second"} {
		if r, _, err := traffic.Once(listen, traffic.Get("/"+name)); err != nil || r.StatusCode != http.StatusNoContent {
			t.Errorf("the route %s is not there: %v, %v", name, r, err)
		}
	}
}

// TestNamedPlacesAreOpen names what the next configuration needs.
func TestNamedPlacesAreOpen(t *testing.T) {
	needsRoot(t)
	listen, app, outside, logs := gateway.Free(t), endpoint(t), t.TempDir(), t.TempDir()
	write(t, outside+"/list", "192.0.2.0/24\n")
	base := strings.Replace(shutIn(listen, app, ""), "sandbox: {}", fmt.Sprintf("sandbox: { read: [%q], write: [%q] }", outside, logs), 1)
	g := gateway.Start(t, base)
	awaitSandbox(t, g)
	if err := g.Reload(base + "policies: [{ ip: { deny_files: [" + outside + "/list] } }]\nlog: { access: { to: " + logs + "/access.log } }\n"); err != nil {
		t.Fatal(err)
	}
	served(t, listen)
	gateway.Await(t, "the log is written", func() bool { text, _ := os.ReadFile(logs + "/access.log"); return len(text) > 0 })
	err := g.Reload(base + "policies: [{ ip: { deny_files: [" + outside + "/list] } }]\nlog: { access: { to: " + outside + "/access.log } }\n")
	if err == nil || !strings.Contains(err.Error(), "does not let it be written") {
		t.Errorf("got %v for what may be read alone", err)
	}
	if err := g.Reload(strings.Replace(base, "sandbox: {", "sandbox: { required: true,", 1)); err != nil {
		t.Fatal(err)
	}
	if !g.Logged("the sandbox is as it was") {
		t.Error("it was not told that a change of the sandbox waits")
	}
}

// TestRenewedCertificate renews as certbot does: live/name/cert.pem is a link into archive/name/, and another one after a renewal.
func TestRenewedCertificate(t *testing.T) {
	needsRoot(t)
	listen, app, let := gateway.Free(t), endpoint(t), t.TempDir()
	a := gateway.NewAuthority(t)
	live, archive := filepath.Join(let, "live/api"), filepath.Join(let, "archive/api")
	renew := func(n int) *gateway.Pair {
		p := a.Issue([]string{"api.example"})
		for name, from := range map[string]string{"cert": p.Cert, "key": p.Key} {
			text, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			to := fmt.Sprintf("%s/%s%d.pem", archive, name, n)
			write(t, to, string(text))
			link := filepath.Join(live, name+".pem")
			_ = os.MkdirAll(live, 0o755)
			_ = os.Remove(link)
			if err := os.Symlink(to, link); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	first := renew(1)
	base := strings.Replace(shutIn(listen, app, ""), "name: main\n", fmt.Sprintf("name: main\n    tls: { certificates: [{ cert: %s/cert.pem, key: %s/key.pem }] }\n", live, live), 1)
	g := gateway.Start(t, base)
	awaitSandbox(t, g)
	second := renew(2)
	if err := g.Reload(base); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{first.Cert, second.Cert} {
		_ = os.Remove(gone)
	}
	gateway.Await(t, "the renewed certificate is taken over", func() bool { return strings.Count(g.Log(), `"msg":"certificate`) > 1 })
	if g.Logged("permission denied") {
		t.Errorf("the log tells of something out of reach:\n%s", g.Log())
	}
	_, _, err := traffic.Once(listen, traffic.Get("/")) // without TLS: that it answers is enough
	if err != nil {
		t.Error(err)
	}
}

// TestFilesTakeTurns replaces files by renaming others, as editors and programs do that know what they are doing, and rotates the log.
func TestFilesTakeTurns(t *testing.T) {
	needsRoot(t)
	listen, app := gateway.Free(t), endpoint(t)
	base := shutIn(listen, app, "policies: [{ ip: { deny_files: [list] } }]\n")
	dir := t.TempDir()
	write(t, dir+"/list", "192.0.2.0/24\n")
	base = strings.Replace(base, "[list]", "["+dir+"/list]", 1)
	g := gateway.Start(t, base)
	awaitSandbox(t, g)
	write(t, dir+"/next", "198.51.100.0/24\n")
	if err := os.Rename(dir+"/next", dir+"/list"); err != nil {
		t.Fatal(err)
	}
	write(t, g.Dir+"/next.yaml", g.Whole(strings.Replace(base, "name: all", "name: every", 1)))
	if err := os.Rename(g.Dir+"/next.yaml", g.Config); err != nil {
		t.Fatal(err)
	}
	gateway.Await(t, "the new file is in force", func() bool { return g.Logged(`"revision":2`) })
	if err := os.Rename(g.AccessPath, g.AccessPath+".1"); err != nil {
		t.Fatal(err)
	}
	if err := g.Reload(base); err != nil {
		t.Fatal(err)
	}
	served(t, listen)
	gateway.Await(t, "the new log is written", func() bool { text, _ := os.ReadFile(g.AccessPath); return len(text) > 0 })
}

// TestLogDirectoryReplaced loses the directory of the log: what a configuration says is not to blame, and is taken.
func TestLogDirectoryReplaced(t *testing.T) {
	needsRoot(t)
	listen, app, logs := gateway.Free(t), endpoint(t), t.TempDir()+"/logs"
	if err := os.Mkdir(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	base := shutIn(listen, app, "log: { access: { to: "+logs+"/access.log } }\n")
	g := gateway.Start(t, base)
	awaitSandbox(t, g)
	if err := os.Rename(logs, logs+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := g.Reload(strings.Replace(base, "name: all", "name: every", 1)); err != nil {
		t.Error(err)
	}
	served(t, listen)
}
