// Package sandbox proves from outside what the running gateway has given up, that it serves, reloads and renews all the same, that what it
// cannot reach any more is refused with words, and what it tells the service manager.
package sandbox

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
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

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// shutIn is a configuration with the sandbox as it is without a word about it. more is YAML at its end.
func shutIn(listen, endpoint, more string) string {
	return gateway.Simple(listen, []string{endpoint}, "") + "sandbox: {}\n" + more
}

// awaitSandbox waits until a gateway has entered the sandbox, and skips the test where the kernel has none.
func awaitSandbox(t *testing.T, g *gateway.Gateway) {
	t.Helper()
	const entered = `"the sandbox is entered"`
	gateway.Await(t, "the sandbox is entered", func() bool { return g.Logged(entered) })
	if g.Logged(`"landlock":0`) {
		t.Skip("this kernel has no Landlock")
	}
}

// statuses count lines of the status of all threads.
func statuses(t *testing.T, pid int) map[string]int {
	t.Helper()
	all := map[string]int{}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("no threads of %d: %v", pid, err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file) // a thread may end
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
			if strings.HasPrefix(key, "Cap") || key == "NoNewPrivs" || key == "Pid" {
				if key == "Pid" {
					value = ""
				}
				all[key+" "+value]++
			}
		}
	}
	return all
}

// served wants an answer of the endpoint.
func served(t *testing.T, listen string) {
	t.Helper()
	if r, _, err := traffic.Once(listen, traffic.Get("/")); err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("got %v, %v", r, err)
	}
}

func endpoint(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

func needsRoot(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("needs root on Linux, whose rights are what there is to give up")
	}
}

// nobody is a user without rights.
const nobody = 4321

// process is the program run otherwise than package gateway does.
type process struct {
	cmd   *exec.Cmd
	dir   string // of its own, which it may write to
	mu    sync.Mutex
	out   bytes.Buffer
	ended chan struct{}
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// room is a directory that a user may enter.
func room(t *testing.T, uid int) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "straum-sandbox-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, uid); err != nil {
		t.Fatal(err)
	}
	return dir
}

// run starts straum with arguments as a user, in a directory, until the test ends.
func run(t *testing.T, dir string, uid uint32, environment []string, arguments ...string) *process {
	t.Helper()
	p := &process{dir: dir, ended: make(chan struct{})}
	program := filepath.Join(room(t, 0), "straum")
	text, err := os.ReadFile(gateway.Program(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(program, arguments...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, p, p
	p.cmd.Env = append(os.Environ(), environment...)
	if uid != 0 {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	if err := gateway.Spawn(p.cmd); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended:
		case <-time.After(gateway.Patience):
			_ = p.cmd.Process.Kill()
			<-p.ended
			t.Error("the program does not end when told to")
		}
		if log := p.log(); t.Failed() || regexp.MustCompile(`DATA RACE|panic:|BUG`).MatchString(log) {
			t.Errorf("the program's log:\n%s", log)
		}
	})
	return p
}

// write writes a file that a user may read.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
