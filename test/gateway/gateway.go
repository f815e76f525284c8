// Package gateway runs the real program for the black-box tests: it builds it once a test process, writes its configuration,
// starts and stops it, and tells what it looks like from outside: log, access log, metrics, memory, descriptors, CPU time.
// It is no step of the request. It refuses to know anything of the inside of the program, and it never waits without an end.
package gateway

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is how long a condition is awaited before a test gives up. It is far more than anything takes on a busy machine: what
// it bounds is how long a failure lasts.
const Patience = 30 * time.Second

// Main runs the tests of a package and removes the program that was built for them. A package of black-box tests calls it from
// its TestMain: func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }.
func Main(m *testing.M) int {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	return code
}

var built struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// Program builds the program, with the race detector if the tests have it, and returns its path. STRAUM_PROGRAM in the environment
// names one that is built already: make test builds it once for all packages, and what is about to be shipped may be tested too.
func Program(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.path = os.Getenv("STRAUM_PROGRAM"); built.path != "" {
			return
		}
		if built.dir, built.err = os.MkdirTemp("", "straum-test-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "straum")
		args, cgo := []string{"build", "-ldflags=-s -w", "-o", built.path}, "CGO_ENABLED=0" // without what only debuggers read it is linked in half the time
		if Race {
			args, cgo = append(args, "-race"), "CGO_ENABLED=1"
		}
		cmd := exec.Command("go", append(args, "straum.dev/straum/cmd/straum")...)
		cmd.Env = append(os.Environ(), cgo)
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatalf("the program cannot be built: %v", built.err)
	}
	return built.path
}

// Gateway is one running program. Its methods may be called from any goroutine, except those that end the test: these, as
// testing wants it, from the test's own.
type Gateway struct {
	t          testing.TB
	Dir        string // of its own, removed after the test
	Config     string // path of its configuration file
	AccessPath string // path of its access log, unless the configuration says otherwise
	Status     string // address of its metrics page, unless the configuration says otherwise

	cmd   *exec.Cmd
	log   logText
	ended chan struct{}
	code  int // once ended is closed
}

// Option changes how the program is started.
type Option func(*start)

type start struct {
	files int
	env   []string
	ready bool
}

// Files lowers the number of descriptors the program may have (RLIMIT_NOFILE, soft and hard).
func Files(n int) Option { return func(s *start) { s.files = n } }

// Env adds to the environment of the program, as NAME=value.
func Env(env ...string) Option { return func(s *start) { s.env = append(s.env, env...) } }

// NotReady does not wait until the program is ready.
func NotReady() Option { return func(s *start) { s.ready = false } }

// Start runs the program with a configuration (see Whole for what may be left out) until the test ends, and waits until it is
// ready. When the test ends the program is stopped; that it does not stop, a panic or a data race in its log fail the test. The end
// of its log is shown when the test fails. It looks into /proc, so where there is none the test is skipped.
func Start(t testing.TB, config string, options ...Option) *Gateway {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("black-box tests look into /proc, which only Linux has")
	}
	o := start{ready: true}
	for _, option := range options {
		option(&o)
	}
	dir := t.TempDir()
	g := &Gateway{t: t, Dir: dir, Config: filepath.Join(dir, "straum.yaml"), AccessPath: filepath.Join(dir, "access.log"),
		Status: Free(t), ended: make(chan struct{})}
	g.Write(config)
	g.cmd = exec.Command(Program(t), "run", "-c", g.Config)
	if o.files > 0 {
		g.cmd = exec.Command("/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, o.files), Program(t), "run", "-c", g.Config)
	}
	g.cmd.Env = append(os.Environ(), o.env...)
	if os.Getenv("GORACE") == "" {
		g.cmd.Env = append(g.cmd.Env, "GORACE=atexit_sleep_ms=20") // it ends a second later otherwise, with the race detector
	}
	g.cmd.Stdout, g.cmd.Stderr = &g.log, &g.log
	if err := Spawn(g.cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = g.cmd.Wait() // the code tells
		g.code = g.cmd.ProcessState.ExitCode()
		close(g.ended)
	}()
	t.Cleanup(g.end)
	if o.ready {
		Await(t, "the program is ready", func() bool { return !g.Running() || g.Ready() })
		if !g.Running() {
			t.Fatalf("the program ended with code %d: %s", g.code, g.log.String())
		}
	}
	return g
}

// end is what follows a test.
func (g *Gateway) end() {
	if g.Running() {
		g.Signal(syscall.SIGTERM)
		select {
		case <-g.ended:
		case <-time.After(Patience):
			g.Signal(syscall.SIGQUIT) // shows what its goroutines do
			select {
			case <-g.ended:
			case <-time.After(Patience):
				g.Signal(syscall.SIGKILL)
				<-g.ended
			}
			g.t.Errorf("the program does not end when told to; its goroutines:\n%s", tail(g.log.String(), 20_000))
		}
	}
	text := g.log.String()
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:", "BUG"} {
		if i := strings.Index(text, bad); i >= 0 {
			g.t.Errorf("the program's log tells of %q:\n%s", bad, head(text[i:], 8_000))
			return
		}
	}
	if g.t.Failed() {
		g.t.Logf("the end of the program's log:\n%s", tail(text, 4_000))
	}
}

// Whole completes a configuration with what black-box tests want and leave out: the metrics page at status, no admin API, an
// access log at access that hides nothing, a short drain, its state beside the configuration, and a sandbox that is open to all of the
// test's temporary directories, for configurations to come. What the configuration says itself stays.
func Whole(config, status, access string) string {
	for _, part := range []struct{ key, text string }{
		{"metrics", fmt.Sprintf("metrics: { address: %q }\n", status)},
		{"admin", "admin: off\n"},
		{"log", fmt.Sprintf("log: { access: { to: %q, addresses: full, query: full } }\n", access)},
		{"shutdown", "shutdown: { drain: 2s }\n"},
		{"state", "state: state\n"},
		{"sandbox", fmt.Sprintf("sandbox: { read: [%[1]q], write: [%[1]q] }\n", filepath.Dir(filepath.Dir(access)))},
	} {
		if !regexp.MustCompile(`(?m)^` + part.key + `:`).MatchString(config) {
			config = strings.TrimRight(config, "\n") + "\n" + part.text
		}
	}
	return config
}

// Simple is a configuration of one listener and one upstream, named app, behind one route, named all. more is put below the
// upstream, which is a mapping in YAML with an indentation of four.
func Simple(listen string, endpoints []string, more string) string {
	for i, e := range endpoints {
		endpoints[i] = fmt.Sprintf("%q", e)
	}
	return fmt.Sprintf("listeners:\n  - address: %q\n    name: main\nupstreams:\n  app:\n    endpoints: [%s]\n%s\n"+
		"routes:\n  - name: all\n    match: { path: /* }\n    upstream: app\n", listen, strings.Join(endpoints, ", "), strings.TrimRight(more, "\n"))
}

// Write writes the configuration file in place, completed by Whole. The program sees it by itself after a moment.
func (g *Gateway) Write(config string) {
	if err := os.WriteFile(g.Config, []byte(g.Whole(config)), 0o600); err != nil {
		g.t.Error(err)
	}
}

// Whole completes a configuration for this gateway.
func (g *Gateway) Whole(config string) string { return Whole(config, g.Status, g.AccessPath) }

// Reload writes the configuration, sends SIGHUP and waits until what was written is in force or refused. The error holds the
// lines of the log that tell why it was refused.
func (g *Gateway) Reload(config string) error {
	from := len(g.log.String())
	g.Write(config)
	g.Signal(syscall.SIGHUP)
	for deadline := time.Now().Add(Patience); ; time.Sleep(time.Millisecond) {
		text := g.log.since(from)
		switch {
		case bySignal(text, `"configuration in force"`), strings.Contains(text, "the configuration is in force as it is"):
			return nil
		case bySignal(text, `"configuration refused"`):
			for { // each mistake has a line
				time.Sleep(20 * time.Millisecond)
				if more := g.log.since(from); len(more) > len(text) {
					text = more
					continue
				}
				return errors.New(text)
			}
		case time.Now().After(deadline):
			return fmt.Errorf("nothing came of a reload after %s; the log since: %s", Patience, text)
		case !g.Running():
			return fmt.Errorf("the program ended at a reload with code %d: %s", g.code, text)
		}
	}
}

// bySignal finds a line about a load that SIGHUP asked for. The program sees changes of the file by itself too, and tells.
func bySignal(log, what string) bool {
	for line := range strings.Lines(log) {
		if strings.Contains(line, what) && strings.Contains(line, `"cause":"signal"`) {
			return true
		}
	}
	return false
}

// Signal sends a signal. One to a program that has ended does nothing.
func (g *Gateway) Signal(s syscall.Signal) { _ = g.cmd.Process.Signal(s) }

// Pid is its process id.
func (g *Gateway) Pid() int { return g.cmd.Process.Pid }

// Running tells whether it has not ended.
func (g *Gateway) Running() bool {
	select {
	case <-g.ended:
		return false
	default:
		return true
	}
}

// Ended is closed when the program has ended.
func (g *Gateway) Ended() <-chan struct{} { return g.ended }

// Wait waits until it has ended and returns its exit code (-1: by a signal). It fails the test when that does not happen.
func (g *Gateway) Wait() int {
	g.t.Helper()
	select {
	case <-g.ended:
		return g.code
	case <-time.After(Patience):
		g.t.Fatal("the program does not end")
		return 0
	}
}

// Stop tells it to stop, waits, and returns its exit code.
func (g *Gateway) Stop() int {
	g.t.Helper()
	g.Signal(syscall.SIGTERM)
	return g.Wait()
}

// spawner starts processes from a thread that lives as long as the test process: the kernel kills a process with Pdeathsig when
// the thread that started it ends.
var spawner = sync.OnceValue(func() chan func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// Spawn starts a process that dies with the test process, however that ends.
func Spawn(cmd *exec.Cmd) error {
	dieWithUs(cmd)
	err := make(chan error)
	spawner() <- func() { err <- cmd.Start() }
	return <-err
}

// Await polls until a condition holds and fails the test when it does not within Patience.
func Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	AwaitFor(t, Patience, what, holds)
}

// AwaitFor is Await with a patience of one's own.
func AwaitFor(t testing.TB, patience time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("awaited for %s in vain: %s", patience, what)
		}
	}
}

func head(s string, n int) string { return s[:min(n, len(s))] }
func tail(s string, n int) string { return s[max(0, len(s)-n):] }
