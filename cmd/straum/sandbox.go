package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"straum.dev/straum/internal/box/sandbox"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/admin"
	"straum.dev/straum/internal/control/compile"
	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/document"
)

// confinement is what the process has given up for good, and what it therefore refuses of later configurations: clearly and at the place in
// the file, in place of a refusal by the kernel that nobody understands.
type confinement struct {
	log *slog.Logger
	now atomic.Pointer[confined] // nil before it was entered, and when it is off
}

// confined is what holds from the start on. It is immutable.
type confined struct {
	*sandbox.InForce
	read, write []string        // that the configuration has named, for texts
	known       map[string]bool // what may be written to, as it was named
	programs    bool            // one may be run
	moves       bool            // files may be moved between directories
	lostAdmin   bool            // CAP_NET_ADMIN was given up
}

// inForce is what of the sandbox is in force, nil when it is off or was not entered yet.
func (s *confinement) inForce() *sandbox.InForce {
	if now := s.now.Load(); now != nil {
		return now.InForce
	}
	return nil
}

// enter gives up what the first revision does not need. notify is the socket of the service manager.
func (s *confinement) enter(r *revision.Revision, notify string) error {
	settings := &r.Config.Sandbox
	if settings.Off {
		s.log.Info("there is no sandbox: sandbox is off")
		return nil
	}
	n := needs(r.Config, r.Compiled)
	n.Abstract = strings.HasPrefix(notify, "@")
	before := capable("CAP_NET_ADMIN")
	f, err := sandbox.Enter(n.Wants)
	if err != nil {
		return fmt.Errorf("the sandbox: %w; sandbox: off does without", err)
	}
	f.Lacking = append(f.Lacking, n.lacking...)
	s.now.Store(&confined{InForce: f, read: n.read, write: n.write, known: n.known, programs: len(n.Execute) > 0, moves: n.Move,
		lostAdmin: before && !slices.Contains(f.Capabilities, "CAP_NET_ADMIN")})
	s.log.Info("the sandbox is entered", "landlock", f.Landlock, "no_new_privileges", f.NoNewPrivileges, "capabilities", strings.Join(f.Capabilities, " "),
		"lacking", len(f.Lacking))
	for _, text := range f.Lacking {
		s.log.Info("the sandbox lacks a part", "lacking", text)
	}
	if settings.Required && len(f.Lacking) > 0 {
		return fmt.Errorf("sandbox.required is true, and a part of the sandbox is lacking: %s; set required: false to start without", strings.Join(f.Lacking, "; "))
	}
	return nil
}

// source is where configurations come from, with what the sandbox refuses of them.
func (s *confinement) source(of revision.Source) revision.Source {
	return func(opt config.Options) (*config.Config, error) {
		now := s.now.Load()
		if now == nil {
			return of(opt)
		}
		if read := opt.ReadFile; read != nil {
			opt.ReadFile = func(path string) ([]byte, error) {
				data, err := read(path)
				if err != nil && now.Refuses(path, false) {
					err = &fs.PathError{Op: "open", Path: path, Err: errors.New(now.outOfReach(path))}
				}
				return data, err
			}
		}
		if glob := opt.Glob; glob != nil {
			opt.Glob = func(pattern string) ([]string, error) {
				// A directory that cannot be looked into has no files, as far as a glob tells: what was included would vanish.
				if dir := fixed(pattern); strings.ContainsAny(pattern, `*?[\`) && now.Refuses(dir, false) {
					return nil, &fs.PathError{Op: "open", Path: dir, Err: errors.New(now.outOfReach(filepath.Join(dir, "x")))}
				}
				return glob(pattern)
			}
		}
		c, err := of(opt)
		if err != nil {
			return nil, err
		}
		return c, now.check(c)
	}
}

// compiled refuses files that policies name. The error is *document.Problems.
func (s *confinement) compiled(c *compile.Compiled) error {
	now := s.now.Load()
	if now == nil {
		return nil
	}
	var problems document.Problems
	for _, file := range c.Files() {
		if at := c.At(file); !at.IsZero() && now.Refuses(file, false) {
			problems.Add(at.Errorf("found %q; %s", file, now.outOfReach(file)))
		}
	}
	return problems.Err()
}

// check refuses what of a configuration is out of reach. What may be written to and was named at the start is let be: where it is gone by
// now, nothing that a configuration says has changed.
func (s *confined) check(c *config.Config) error {
	var problems document.Problems
	for _, p := range places(c) {
		if p.write && s.known[p.path] || !s.Refuses(p.path, p.write) {
			continue
		}
		text := s.outOfReach(p.path)
		if p.write {
			text = s.unwritable(p.path)
		}
		problems.Add(p.at.Errorf("found %q; %s", p.named, text))
	}
	if d := c.ACME.DNS; d != nil && d.Program != nil && s.Landlock > 0 && !s.programs {
		problems.Add(d.Node.At("program").Errorf("the sandbox, which was entered when the process started, does not let programs be run; restart to have it let them"))
	}
	if s.Landlock == 1 && c.Cache.Disk != nil && !s.moves {
		problems.Add(c.Cache.Node.At("disk").Errorf("the sandbox, which was entered when the process started, does not let files be moved between directories on this kernel; restart to have it let them"))
	}
	if c.Bans != nil && c.Bans.Kernel && s.lostAdmin {
		problems.Add(c.Bans.Node.At("kernel").Errorf("found true; CAP_NET_ADMIN, which it takes, was given up when the process started; restart to keep it"))
	}
	return problems.Err()
}

func (s *confined) outOfReach(path string) string {
	return fmt.Sprintf("the sandbox, which was entered when the process started, keeps it out of reach; what may be read: %s; name %s under sandbox.read, or leave it, and restart",
		few(s.read), filepath.Dir(path))
}

func (s *confined) unwritable(path string) string {
	return fmt.Sprintf("the sandbox, which was entered when the process started, does not let it be written; what may be: %s; name %s under sandbox.write, or leave it, and restart",
		few(s.write), path)
}

// few are some of many.
func few(all []string) string {
	const most = 8
	if len(all) == 0 {
		return "nothing"
	}
	if len(all) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
	}
	return strings.Join(all, ", ")
}

// attention is what needs somebody although the gateway goes on: a file of the system that another has taken the place of.
func (s *confinement) attention() (all []admin.Reason) {
	f := s.inForce()
	for _, file := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		if f.Refuses(file, false) {
			all = append(all, admin.Reason{Check: "sandbox",
				Reason: file + " was replaced since the process started, and the sandbox does not let the new one be read: names are resolved without; restart"})
		}
	}
	return all
}

// capable says whether the process has a capability.
func capable(name string) bool {
	f, err := sandbox.Held()
	return err == nil && slices.Contains(f, name)
}

// place is a file or a directory that a configuration names.
type place struct {
	path  string
	at    document.Node
	named string // what stands there
	write bool   // path is a directory to write to, or a file that is no ordinary one
}

// places are those whose keys are known here. What policies name is known once it is compiled.
func places(c *config.Config) (all []place) {
	read := func(at document.Node, key, path string) {
		if path != "" {
			all = append(all, place{absolute(config.Beside(at, path)), at.At(key), path, false})
		}
	}
	write := func(at document.Node, named, dir string) {
		all = append(all, place{absolute(dir), at, named, true})
	}
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if l.Address.Path != "" {
			write(l.Node.At("address"), l.Address.Path, filepath.Dir(l.Address.Path))
		}
		if l.TLS == nil {
			continue
		}
		for _, p := range l.TLS.Certificates {
			read(p.Node, "cert", p.Cert)
			read(p.Node, "key", p.Key)
		}
		if l.TLS.Client != nil {
			read(l.TLS.Client.Node, "ca", l.TLS.Client.CA)
		}
	}
	for i := range c.Upstreams {
		if t := c.Upstreams[i].TLS; t != nil {
			read(t.Node, "ca", t.CA)
			read(t.Node, "cert", t.Cert)
			read(t.Node, "key", t.Key)
		}
	}
	if c.Redis != nil && c.Redis.TLS != nil {
		t := c.Redis.TLS
		read(t.Node, "ca", t.CA)
		read(t.Node, "cert", t.Cert)
		read(t.Node, "key", t.Key)
	}
	read(c.ACME.Node, "ca", c.ACME.CA)
	for _, f := range c.CredentialFiles {
		read(f.Node, "file", f.File)
	}
	if to := c.Log.Access.To; strings.HasPrefix(to, "/") {
		write(c.Log.Access.Node.At("to"), to, folder(to))
	}
	if !c.Metrics.Off && c.Metrics.Address.Path != "" {
		write(c.Metrics.Node.At("address"), c.Metrics.Address.Path, filepath.Dir(c.Metrics.Address.Path))
	}
	if !c.Admin.Off && c.Admin.Node.Has("socket") && c.Admin.Socket != "" { // the default one may be missing
		write(c.Admin.Node.At("socket"), c.Admin.Socket, filepath.Dir(c.Admin.Socket))
	}
	if d := c.Cache.Disk; d != nil && d.Path != "" {
		write(d.Node.At("path"), d.Path, config.Beside(d.Node, d.Path))
	}
	return all
}

// fixed is the directory of a glob with all that it may match below it: what comes before the first part with a special character.
func fixed(pattern string) string {
	dir := filepath.Dir(pattern)
	for strings.ContainsAny(dir, `*?[\`) {
		dir = filepath.Dir(dir)
	}
	return absolute(dir)
}

// folder is where a file lies that is written to: its directory, in which it may be made anew, or itself where it is a device or a pipe, or
// /dev/stdout and the like, wherever those lead.
func folder(file string) string {
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() || handedDown(file) {
		return file
	}
	return filepath.Dir(file)
}

// handedDown says that a file is one of those that the process was started with.
func handedDown(file string) bool {
	file = filepath.Clean(file)
	return strings.HasPrefix(file, "/dev/") && !strings.HasPrefix(file, "/dev/shm/") || strings.HasPrefix(file, "/proc/")
}

func absolute(path string) string {
	if a, err := filepath.Abs(path); err == nil {
		return a
	}
	return path
}
