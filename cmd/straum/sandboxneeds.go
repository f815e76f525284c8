package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"straum.dev/straum/internal/box/sandbox"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/compile"
)

// need is what a configuration makes the process need.
type need struct {
	sandbox.Wants
	read, write []string // that the configuration has named, the others being the system's
	known       map[string]bool
	lacking     []string
}

// needs finds out. Of each file that is read the directory counts, since most files are changed by putting another in their place, and that
// of the file a link leads to.
func needs(c *config.Config, compiled *compile.Compiled) *need {
	n := &need{known: map[string]bool{}}
	for _, file := range c.Files() {
		if _, err := os.Stat(file); err == nil { // the flags of a command are no file
			n.readFile("the configuration", file)
		}
	}
	for _, pattern := range c.Include {
		n.readDir("the configuration", fixed(config.Beside(c.Node, pattern)))
	}
	for _, file := range compiled.Files() {
		n.readFile(file, file)
	}
	for _, p := range places(c) {
		if p.write {
			n.writeDir(p.path)
		} else {
			n.readFile(p.path, p.path)
		}
	}
	if to := c.Log.Access.To; strings.HasPrefix(to, "/") && !handedDown(to) {
		n.writeDir(folder(resolved(to)))
	}
	if !c.Admin.Off && c.Admin.Socket != "" {
		n.writeDir(filepath.Dir(c.Admin.Socket))
	}
	state := config.Beside(c.Node, c.State)
	n.writeDir(state)
	if c.Cache.Disk != nil {
		n.Move = true
	}
	n.read, n.write = append(n.read, c.Sandbox.Read...), append(n.write, c.Sandbox.Write...) // told, when they are not there
	n.tellExposed(c)
	n.read, n.write = outermost(n.read), outermost(n.write)

	n.Read, n.Write = slices.Concat(n.read, existing(system(os.Geteuid()))), slices.Concat(n.write, existing([]string{os.DevNull}))
	if d := c.ACME.DNS; d != nil && d.Program != nil {
		n.Execute = []string{"/"}
		n.Write = append(n.Write, existing([]string{os.TempDir()})...)
		n.lacking = append(n.lacking, "all files may be read and programs be run, since acme.dns.program runs one")
	}
	n.Capabilities = []string{"CAP_NET_BIND_SERVICE"} // the next configuration may have port 443
	if c.Bans != nil && c.Bans.Kernel {
		n.Capabilities = append(n.Capabilities, "CAP_NET_ADMIN")
	}
	return n
}

// readFile lets a file be read, and what takes its place.
func (n *need) readFile(what, file string) {
	if file = absolute(file); handedDown(file) {
		n.read = append(n.read, file) // all of /dev has the disks
		return
	}
	n.readDir(what, filepath.Dir(file))
	if real := resolved(file); real != absolute(file) {
		n.readDir(what, filepath.Dir(real))
	}
}

func (n *need) readDir(what, dir string) {
	dir = absolute(dir)
	if slices.Contains(n.read, dir) || len(existing([]string{dir})) == 0 {
		return
	}
	n.read = append(n.read, dir)
	if broad(dir) {
		n.lacking = append(n.lacking, "all of "+dir+" may be read, since "+what+" lies there; give it a directory of its own")
	}
}

func (n *need) writeDir(dir string) {
	dir = absolute(dir)
	n.known[dir] = true
	if slices.Contains(n.write, dir) || len(existing([]string{dir})) == 0 {
		return
	}
	n.write = append(n.write, dir)
	if broad(dir) {
		n.lacking = append(n.lacking, "all of "+dir+" may be written to, since a file of ours lies there; give it a directory of its own")
	}
}

// tellExposed tells of a configuration that lies where files are written: whoever may write there can have the next start do anything.
func (n *need) tellExposed(c *config.Config) {
	for _, file := range c.Files() {
		real := resolved(file)
		for _, dir := range n.write {
			if _, err := os.Stat(real); err == nil && !broad(dir) && len(outermost([]string{resolved(dir), real})) == 1 {
				n.lacking = append(n.lacking, "the configuration "+file+" may be written to, since files of ours are written to "+dir+"; give them a directory of their own")
				return
			}
		}
	}
}

// broad are directories that hold what is none of ours.
func broad(dir string) bool {
	switch dir {
	case "/", "/dev", "/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/usr", "/var", "/var/lib", "/var/log", "/var/run", "/var/tmp":
		return true
	}
	return filepath.Dir(dir) == "/home"
}

// outermost leaves out what lies below others.
func outermost(all []string) (out []string) {
	all = slices.Clone(all)
	slices.Sort(all)
	for _, path := range all {
		if !slices.ContainsFunc(out, func(above string) bool {
			return path == above || strings.HasPrefix(path, strings.TrimSuffix(above, "/")+"/")
		}) {
			out = append(out, path)
		}
	}
	return out
}

// resolved is a path without links; absolute when it leads nowhere.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return absolute(real)
	}
	return absolute(path)
}

func existing(all []string) (there []string) {
	for _, path := range all {
		if _, err := os.Stat(path); err == nil {
			there = append(there, path)
		}
	}
	return there
}

// system is what every gateway reads: how names are resolved, which authorities are trusted, time zones, and the state of the box. Files in
// /etc are changed by putting others in their place, so that a user like any other may read all of it. Root is a user like no other: of what
// it may read there, most is secret.
func system(uid int) []string {
	all := []string{"/proc", "/sys", "/dev/random", "/dev/urandom", "/dev/zero",
		"/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager",
		"/usr/lib/ssl", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/zoneinfo"}
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR", "ZONEINFO"} { // as crypto/x509 and time read them
		for _, path := range filepath.SplitList(os.Getenv(name)) {
			if filepath.IsAbs(path) {
				all = append(all, path)
			}
		}
	}
	if uid != 0 {
		return append(all, "/etc")
	}
	for _, name := range []string{"resolv.conf", "hosts", "nsswitch.conf", "host.conf", "gai.conf", "services", "protocols", "localtime", "os-release",
		"mime.types", "ca-certificates", "pki/ca-trust", "pki/tls/certs", "ssl/certs", "ssl/cert.pem", "ssl/ca-bundle.pem", "ssl/openssl.cnf"} {
		all = append(all, resolved("/etc/"+name))
	}
	return all
}
