package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"straum.dev/straum/internal/config"
)

// rehearsal is a copy of the gateway that touches nothing real, and the endpoints behind it, each a process of its own.
type rehearsal struct {
	rehearsed
	gateway, endpoint *part
	dirs              []string // removed in the end
	admin             string   // socket
	state, log, cache string   // directories; those of log and cache are on the real ones' volumes where we may write there
}

// startRehearsal makes one of the configuration in file, which was read into c.
func startRehearsal(ctx context.Context, file string, c *config.Config, listener, answer string, redis bool) (_ *rehearsal, err error) {
	r := &rehearsal{}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	dir, err := r.dir(os.TempDir())
	if err != nil {
		return nil, err
	}
	r.admin = filepath.Join(dir, adminOfRehearsal)
	if r.state, err = r.dir(config.Beside(c.Node, c.State)); err != nil {
		return nil, err
	}
	to := dir
	if strings.Contains(c.Log.Access.To, "/") {
		to = filepath.Dir(c.Log.Access.To)
	}
	if r.log, err = r.dir(to); err != nil {
		return nil, err
	}
	cached := config.Beside(c.Node, c.State)
	if d := c.Cache.Disk; d != nil && d.Path != "" {
		cached = config.Beside(d.Node, d.Path)
	}
	if r.cache, err = r.dir(cached); err != nil {
		return nil, err
	}
	plain, http2 := 1, 0
	for i := range c.Upstreams {
		n := min(len(c.Upstreams[i].Endpoints), mostEndpoints)
		if c.Upstreams[i].Protocol == "http2" {
			http2 = max(http2, n)
		} else {
			plain = max(plain, n)
		}
	}
	var opened openedEndpoints
	r.endpoint, err = startPart(ctx, &opened, "rehearse", "endpoint", "--answer", answer, "--plain", strconv.Itoa(plain), "--http2", strconv.Itoa(http2),
		"--sweep", strings.Join(r.dirs, string(filepath.ListSeparator)))
	if err != nil {
		return nil, fmt.Errorf("the endpoints of the rehearsal: %w", err)
	}
	args := []string{"rehearse", "gateway", "-c", file, "--listener", listener, "--dir", dir, "--state", r.state, "--log", filepath.Join(r.log, "access.log"), "--cache", r.cache,
		"--endpoints", strings.Join(opened.Endpoints, ","), "--http2", strings.Join(opened.HTTP2, ",")}
	if redis {
		args = append(args, "--redis")
	}
	if r.gateway, err = startPart(ctx, &r.rehearsed, args...); err != nil {
		return nil, fmt.Errorf("the gateway of the rehearsal: %w", err)
	}
	return r, nil
}

// dir makes a directory in place or the nearest one above it that is there, where we may write there, and else where temporary files go.
func (r *rehearsal) dir(place string) (string, error) {
	place, err := filepath.Abs(place)
	if err != nil {
		return "", err
	}
	for {
		if info, err := os.Stat(place); err == nil && info.IsDir() || place == filepath.Dir(place) {
			break
		}
		place = filepath.Dir(place)
	}
	made, err := os.MkdirTemp(place, "."+mark)
	if err != nil {
		made, err = os.MkdirTemp("", mark)
	}
	if err == nil {
		r.dirs = append(r.dirs, made)
	}
	return made, err
}

// close ends both processes and removes what they left. The endpoints end last, since they sweep up what is still there then.
func (r *rehearsal) close() {
	if r.gateway != nil {
		r.gateway.stop()
	}
	for _, dir := range r.dirs {
		_ = os.RemoveAll(dir) // what cannot be removed is in a directory that says whose it is
	}
	if r.endpoint != nil {
		r.endpoint.stop()
	}
}

// mark is what the name of each directory of a rehearsal has, so that nothing else is ever swept up.
const mark = "straum-rehearsal-"

// sweep removes the directories of a rehearsal whose parent was killed. The gateway, which ends at the same time, may still write for a moment.
func sweep(dirs []string, pause func()) {
	dirs = slices.DeleteFunc(slices.Clone(dirs), func(dir string) bool {
		name := filepath.Base(dir)
		return !filepath.IsAbs(dir) || !strings.HasPrefix(strings.TrimPrefix(name, "."), mark)
	})
	there := func(dir string) bool { _, err := os.Lstat(dir); return err == nil }
	if !slices.ContainsFunc(dirs, there) {
		return // the parent has done it
	}
	for range 30 {
		for _, dir := range dirs {
			_ = os.RemoveAll(dir)
		}
		pause()
	}
}

// part is a process of a rehearsal.
type part struct {
	cmd   *exec.Cmd
	in    io.Closer
	ended chan struct{}
	said  lastWords
}

// partPatience is how long a process may take to start, and to end once it is told to.
const partPatience = 30 * time.Second

// startPart starts this program again and reads what it says first into said.
func startPart(ctx context.Context, said any, args ...string) (*part, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &part{cmd: exec.Command(self, args...), ended: make(chan struct{})}
	p.cmd.Stderr = &p.said
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { // a service manager that looks after us is not to be told of its state
		return strings.HasPrefix(v, "NOTIFY_SOCKET=") || strings.HasPrefix(v, "WATCHDOG_") || strings.HasPrefix(v, "LISTEN_")
	})
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us, who tell it when to end
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	first := make(chan error, 1)
	go p.runOutput(out, first, said)
	late := time.NewTimer(partPatience)
	defer late.Stop()
	select {
	case err = <-first:
	case <-late.C:
		err = fmt.Errorf("it did not start within %s", partPatience)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		return p, nil
	}
	p.stop()
	if text := p.said.String(); text != "" && ctx.Err() == nil {
		err = errors.New(text)
	}
	return nil, err
}

// runOutput reads what a process says and waits for its end. Its first line goes to first.
func (p *part) runOutput(out io.Reader, first chan<- error, said any) {
	defer close(p.ended)
	lines := bufio.NewReader(io.LimitReader(out, 1<<20))
	line, err := lines.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, said)
	} else {
		err = errors.New("it ended before it said where it listens")
	}
	first <- err
	_, _ = io.Copy(io.Discard, lines)
	_ = p.cmd.Wait() // it is of no interest how it ended
}

// stop ends the process, gently at first.
func (p *part) stop() {
	_ = p.in.Close()
	late := time.NewTimer(partPatience)
	defer late.Stop()
	select {
	case <-p.ended:
	case <-late.C:
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// lastWords keeps the beginning of what a process complains of.
type lastWords struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lastWords) Write(b []byte) (int, error) {
	const most = 4 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b[:min(len(b), max(0, most-l.text.Len()))])
	return len(b), nil
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimPrefix(strings.TrimSpace(l.text.String()), "straum: ")
}
