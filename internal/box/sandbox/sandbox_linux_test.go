package sandbox_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"straum.dev/straum/internal/box/sandbox"
)

// What is tried in the sandbox is tried by another process: this test binary, run again with an errand.
const errand = "STRAUM_SANDBOX_ERRAND"

func TestMain(m *testing.M) {
	if of := os.Getenv(errand); of != "" {
		os.Exit(confined(of))
	}
	os.Exit(m.Run())
}

// order is what the other process is to do: enter, and try.
type order struct {
	Wants   sandbox.Wants
	Tries   []string // see tries
	Refuses []string // "read PATH" and "write PATH", to be asked of what is in force
}

// report is what it tells.
type report struct {
	InForce *sandbox.InForce
	Err     string
	Before  map[string]string // by a thread that there was before
	After   map[string]string // by one that was started since
	Refuses map[string]bool
	Status  map[string]int // lines of the status of all threads
}

func confined(text string) int {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	try := func() map[string]string {
		found := map[string]string{}
		for _, what := range o.Tries {
			found[what] = "done"
			if err := tries(what); err != nil {
				found[what] = err.Error()
			}
		}
		return found
	}
	var r report
	entered, old := make(chan bool), make(chan bool)
	ready := make(chan bool)
	for range 8 { // threads that wait in the kernel, as those do that serve
		thread(func() {
			ready <- true
			for {
				_ = unix.Nanosleep(&unix.Timespec{Sec: 3600}, nil) // until a signal
			}
		})
		<-ready
	}
	thread(func() {
		ready <- true
		<-entered
		r.Before = try()
		close(old)
	})
	<-ready
	f, err := sandbox.Enter(o.Wants)
	r.InForce = f
	if err != nil {
		r.Err = err.Error()
	}
	close(entered)
	<-old
	fresh := make(chan bool)
	thread(func() {
		r.After = try()
		close(fresh)
	})
	<-fresh
	r.Status, r.Refuses = statuses(), map[string]bool{}
	for _, question := range o.Refuses {
		what, path, _ := strings.Cut(question, " ")
		r.Refuses[question] = f.Refuses(path, what == "write")
	}
	out, err := json.Marshal(r)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Stdout.Write(out)
	return 0
}

// thread does something on a thread that nothing else runs on, and that ends with it.
func thread(do func()) {
	go func() {
		runtime.LockOSThread()
		do()
	}()
}

// statuses count what /proc says of the threads.
func statuses() map[string]int {
	all := map[string]int{}
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		text, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/status")
		for line := range strings.Lines(string(text)) {
			if key, value, _ := strings.Cut(strings.TrimSpace(line), ":\t"); strings.HasPrefix(key, "Cap") || key == "NoNewPrivs" {
				all[key+" "+value]++
			}
		}
	}
	return all
}

// tries does one thing, told in a word or two.
func tries(what string) error {
	verb, object, _ := strings.Cut(what, " ")
	switch verb {
	case "read":
		_, err := os.ReadFile(object)
		return err
	case "list":
		_, err := os.ReadDir(object)
		return err
	case "write":
		return os.WriteFile(object, []byte("x"), 0o600)
	case "truncate":
		return os.Truncate(object, 0)
	case "remove":
		return os.Remove(object)
	case "link":
		return os.Symlink("/etc/passwd", object)
	case "move":
		from, to, _ := strings.Cut(object, " ")
		return os.Rename(from, to)
	case "run":
		return exec.Command(object).Run()
	case "setuid":
		return unix.Setresuid(1234, 1234, 1234)
	case "mount":
		return unix.Mount("none", object, "tmpfs", 0, "")
	case "chroot":
		return unix.Chroot(object)
	case "mknod":
		return unix.Mknod(object, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))
	case "chown":
		return unix.Chown(object, 1234, 1234)
	case "trace":
		pid, _ := strconv.Atoi(object)
		err := unix.PtraceAttach(pid)
		if err == nil {
			_ = unix.PtraceDetach(pid)
		}
		return err
	case "signal":
		pid, _ := strconv.Atoi(object)
		return unix.Kill(pid, 0)
	case "raw":
		return closing(unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP))
	case "packet":
		return closing(unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0))
	case "listen":
		l, err := net.Listen("tcp", object)
		if err == nil {
			l.Close()
		}
		return err
	case "dial":
		c, err := net.Dial("unix", object)
		if err == nil {
			c.Close()
		}
		return err
	case "hostname":
		return unix.Sethostname([]byte("straum"))
	case "capability":
		n, _ := strconv.Atoi(object)
		header, data := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
		data[n/32].Effective, data[n/32].Permitted = 1<<(n%32), 1<<(n%32)
		return unix.Capset(&header, &data[0])
	}
	return errors.New("the test does not know how to " + verb)
}

func closing(fd int, err error) error {
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// in runs an order in a process of its own, as a user: 0 is root, 1 one without any rights.
func in(t *testing.T, o order, uid uint32) report {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, whose rights are what there is to give up")
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var out, complaints bytes.Buffer
	cmd := exec.Command(binary(t))
	cmd.Env = append(os.Environ(), errand+"="+string(text), "GORACE=atexit_sleep_ms=0")
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, complaints.String())
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %q", err, out.String())
	}
	if r.InForce.Landlock == 0 {
		if version, _, _ := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION); int(version) > 0 {
			t.Fatalf("this kernel has Landlock %d, which is not in force: %q", version, r.InForce.Lacking)
		}
		t.Skipf("this kernel has no Landlock: %q", r.InForce.Lacking)
	}
	return r
}

// binary is this program where every user may run it.
var binary = func() func(t *testing.T) string {
	var once sync.Once
	var path string
	return func(t *testing.T) string {
		t.Helper()
		once.Do(func() {
			own, err := os.Executable()
			if err != nil {
				return
			}
			path = own
			for dir := filepath.Dir(own); dir != "/"; dir = filepath.Dir(dir) {
				if info, err := os.Stat(dir); err == nil && info.Mode()&0o001 == 0 {
					_ = os.Chmod(dir, info.Mode()|0o001) // the directories of go test are its own
				}
			}
		})
		return path
	}
}()

// judge compares what was found with what should be: done, or a part of the error. Threads do not differ.
func judge(t *testing.T, r report, want map[string]string) {
	t.Helper()
	if r.Err != "" {
		t.Errorf("Enter: %s", r.Err)
	}
	for what, expected := range want {
		for thread, found := range map[string]string{"before": r.Before[what], "after": r.After[what]} {
			if expected == "done" && found != "done" || !strings.Contains(found, expected) {
				t.Errorf("%s, by a thread started %s: found %q, want %q", what, thread, found, expected)
			}
		}
	}
}

func keys(m map[string]string) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// tree is a directory that everybody may enter, below which the tests' files are.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "straum-sandbox-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("text"), 0o666); err != nil {
			t.Fatal(err)
		}
		_ = os.Chmod(filepath.Dir(path), 0o777)
		_ = os.Chmod(path, 0o666)
	}
	return dir
}

func TestRootIsShutIn(t *testing.T) {
	dir := tree(t, "in/file", "out/file", "state/file", "state/old", "state/sub/x")
	if err := os.Symlink(filepath.Join(dir, "out/file"), filepath.Join(dir, "in/link")); err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sleep", "30") // somebody else
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	pid := strconv.Itoa(other.Process.Pid)
	abstract := "@straum-sandbox-test-" + pid
	l, err := net.Listen("unix", abstract)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	named, err := net.Listen("unix", filepath.Join(dir, "out/socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer named.Close()

	want := map[string]string{
		"read " + dir + "/in/file":       "done",
		"list " + dir + "/in":            "done",
		"read /proc/self/status":         "done",
		"read " + dir + "/state/file":    "done",
		"write " + dir + "/state/new":    "done",
		"truncate " + dir + "/state/old": "done",
		"listen 127.0.0.1:80":            "done",
		"dial " + dir + "/out/socket":    "done", // the network is left alone

		"read " + dir + "/out/file":                              "permission denied",
		"read " + dir + "/in/link":                               "permission denied",
		"list /":                                                 "permission denied",
		"read /etc/shadow":                                       "permission denied",
		"read /proc/" + pid + "/environ":                         "permission denied",
		"write /etc/straum-test":                                 "permission denied",
		"write " + dir + "/in/file":                              "permission denied",
		"write /proc/sys/net/ipv4/tcp_fin_timeout":               "permission denied",
		"truncate " + dir + "/out/file":                          "permission denied",
		"remove " + dir + "/out/file":                            "permission denied",
		"link " + dir + "/state/link":                            "permission denied",
		"move " + dir + "/state/file " + dir + "/state/sub/file": "cross-device",
		"run /bin/true":                                          "permission denied",
		"run " + dir + "/state/file":                             "permission denied",
		"setuid":                                                 "operation not permitted",
		"mount " + dir + "/state":                                "operation not permitted",
		"chroot " + dir:                                          "operation not permitted",
		"mknod " + dir + "/state/null":                           "permission denied",
		"chown " + dir + "/state/file":                           "operation not permitted",
		"trace " + pid:                                           "operation not permitted",
		"signal " + pid:                                          "operation not permitted",
		"raw":                                                    "operation not permitted",
		"packet":                                                 "operation not permitted",
		"dial " + abstract:                                       "operation not permitted",
		"hostname":                                               "operation not permitted",
		"capability 21":                                          "operation not permitted", // CAP_SYS_ADMIN again
	}
	r := in(t, order{Wants: sandbox.Wants{
		Read: []string{dir + "/in", "/proc", "/sys"}, Write: []string{dir + "/state", "/proc/self/fd/1"}, // a pipe, for which there are no rules
		Capabilities: []string{"CAP_NET_BIND_SERVICE"},
	}, Tries: keys(want)}, 0)
	judge(t, r, want)
	f := r.InForce
	if !f.NoNewPrivileges || !slices.Equal(f.Capabilities, []string{"CAP_NET_BIND_SERVICE"}) || len(f.Lacking) > 0 {
		t.Errorf("found in force %+v", f)
	}
	threads := r.Status["NoNewPrivs 1"]
	if threads < 8 {
		t.Errorf("found %d threads with no_new_privs: %v", threads, r.Status)
	}
	for _, line := range []string{"CapEff", "CapPrm", "CapBnd"} {
		if n := r.Status[line+" 0000000000000400"]; n != threads {
			t.Errorf("found %d of %d threads with %s of CAP_NET_BIND_SERVICE alone: %v", n, threads, line, r.Status)
		}
	}
	for _, line := range []string{"CapInh", "CapAmb"} {
		if n := r.Status[line+" 0000000000000000"]; n != threads {
			t.Errorf("found %d of %d threads with nothing in %s: %v", n, threads, line, r.Status)
		}
	}
}

func TestWhatIsWantedMoreIsThere(t *testing.T) {
	dir := tree(t, "state/file", "state/sub/x")
	abstract := "@straum-sandbox-test-more-" + strconv.Itoa(os.Getpid())
	l, err := net.Listen("unix", abstract)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := map[string]string{
		"run /bin/true":          "done",
		"read /etc/passwd":       "done",
		"dial " + abstract:       "done",
		"raw":                    "done",
		"write /etc/straum-test": "permission denied",
	}
	r := in(t, order{Wants: sandbox.Wants{
		Read: []string{"/proc"}, Write: []string{dir + "/state", os.DevNull}, Execute: []string{"/"}, Abstract: true, Capabilities: []string{"CAP_NET_RAW"},
	}, Tries: keys(want)}, 0)
	judge(t, r, want)

	moves := "move " + dir + "/state/file " + dir + "/state/sub/file"
	r = in(t, order{Wants: sandbox.Wants{Read: []string{"/proc"}, Write: []string{dir + "/state"}, Move: true}, Tries: []string{moves}}, 0)
	if r.Before[moves] != "done" {
		t.Errorf("%s: found %q", moves, r.Before[moves])
	}
	if len(r.InForce.Capabilities) > 0 {
		t.Errorf("found the capabilities %v, want none", r.InForce.Capabilities)
	}
}

func TestNobodyHasNothingToGiveUp(t *testing.T) {
	dir := tree(t, "in/file", "out/file", "state/file")
	want := map[string]string{
		"read " + dir + "/in/file":    "done",
		"write " + dir + "/state/new": "done",
		"read " + dir + "/out/file":   "permission denied",
		"write " + dir + "/in/file":   "permission denied",
		"run /bin/true":               "permission denied",
		"setuid":                      "operation not permitted",
	}
	r := in(t, order{Wants: sandbox.Wants{Read: []string{dir + "/in", "/proc"}, Write: []string{dir + "/state"}, Capabilities: []string{"CAP_NET_BIND_SERVICE"}}, Tries: keys(want)}, 4321)
	judge(t, r, want)
	if f := r.InForce; !f.NoNewPrivileges || len(f.Capabilities) > 0 || len(f.Lacking) > 0 {
		t.Errorf("found in force %+v", f)
	}
}

func TestFilesOfOthersKeepACapability(t *testing.T) {
	for _, c := range []struct {
		name  string
		wants func(dir string) sandbox.Wants
		keeps []string
		tells string
		try   string
	}{
		{"to read", func(dir string) sandbox.Wants { return sandbox.Wants{Read: []string{"/proc", dir + "/in/file"}} },
			[]string{"CAP_DAC_READ_SEARCH"}, "/in/file", "read %s/in/file"},
		{"to write", func(dir string) sandbox.Wants {
			return sandbox.Wants{Read: []string{"/proc", dir + "/in/file"}, Write: []string{dir + "/state"}}
		}, []string{"CAP_DAC_OVERRIDE"}, "/state", "write %s/state/new"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := tree(t, "in/file", "state/file")
			for path, mode := range map[string]os.FileMode{"in/file": 0o600, "state": 0o700} {
				path = filepath.Join(dir, path)
				if err := errors.Join(os.Chmod(path, mode), os.Chown(path, 4321, 4321)); err != nil {
					t.Skipf("needs root: %v", err)
				}
			}
			try := fmt.Sprintf(c.try, dir)
			r := in(t, order{Wants: c.wants(dir), Tries: []string{try}}, 0)
			judge(t, r, map[string]string{try: "done"})
			if !slices.Equal(r.InForce.Capabilities, c.keeps) {
				t.Errorf("found the capabilities %v, want %v", r.InForce.Capabilities, c.keeps)
			}
			if len(r.InForce.Lacking) != 1 || !strings.Contains(r.InForce.Lacking[0], dir+c.tells) || !strings.Contains(r.InForce.Lacking[0], c.keeps[0]) {
				t.Errorf("found lacking %q", r.InForce.Lacking)
			}
		})
	}
}

func TestWhatIsNotThereIsTold(t *testing.T) {
	dir := tree(t, "in/file")
	r := in(t, order{Wants: sandbox.Wants{Read: []string{"/proc", dir + "/in", dir + "/gone"}}, Tries: []string{"read " + dir + "/in/file"}}, 0)
	judge(t, r, map[string]string{"read " + dir + "/in/file": "done"})
	if len(r.InForce.Lacking) != 1 || !strings.Contains(r.InForce.Lacking[0], dir+"/gone is left out: no such file") {
		t.Errorf("found lacking %q", r.InForce.Lacking)
	}
	if slices.Contains(r.InForce.Read, dir+"/gone") {
		t.Errorf("found %v among what may be read", r.InForce.Read)
	}
}

func TestMistakesGiveNothingUp(t *testing.T) {
	for _, w := range []sandbox.Wants{{Read: []string{"relative"}}, {Write: []string{""}}, {Capabilities: []string{"CAP_EVERYTHING"}}} {
		if f, err := sandbox.Enter(w); err == nil {
			t.Errorf("%+v was entered: %+v", w, f)
		}
	}
	held, err := sandbox.Held()
	if os.Getuid() == 0 && (err != nil || len(held) == 0) {
		t.Errorf("found the capabilities %v, %v", held, err)
	}
}

func TestRefuses(t *testing.T) {
	dir := tree(t, "in/file", "in/secret", "out/file", "state/file", "moved/file")
	if err := os.Chmod(filepath.Join(dir, "in/secret"), 0); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"in/link": dir + "/out/file", "out/link": dir + "/in/file", "device": "/dev/zero", "null": "/dev/null"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]bool{
		"read " + dir + "/in/file":     false,
		"read " + dir + "/out/link":    false, // what it leads to counts
		"read " + dir + "/in/link":     true,
		"read " + dir + "/out/file":    true,
		"read " + dir + "/out":         true,
		"read " + dir + "/in/gone":     false, // that it is not there is another matter
		"read " + dir + "/in/secret":   false, // and so is that it is another's
		"read " + dir + "/device":      true,
		"write " + dir + "/state":      false,
		"write " + dir + "/state/a/b":  false, // to be made
		"write " + dir + "/in":         true,
		"write " + dir + "/out":        true,
		"write " + dir + "/out/a/b":    true,
		"write " + dir + "/null":       false,
		"write " + dir + "/device":     true,
		"write /proc/sys/net/ipv4":     false, // nobody may
		"write " + dir + "/moved":      false,
		"write " + dir + "/state/file": false,
	}
	var questions []string
	for q := range want {
		questions = append(questions, q)
	}
	wants := sandbox.Wants{Read: []string{"/proc", dir + "/in"}, Write: []string{dir + "/state", dir + "/moved", os.DevNull}}
	for _, uid := range []uint32{0, 4321} {
		r := in(t, order{Wants: wants, Refuses: questions}, uid)
		for q, expected := range want {
			if r.Refuses[q] != expected {
				t.Errorf("as user %d, %s: refused is %t, want %t", uid, q, r.Refuses[q], expected)
			}
		}
	}
}

func TestNothingRefusesNothing(t *testing.T) {
	var f *sandbox.InForce
	if f.Refuses("/etc/passwd", false) || f.Refuses("/etc", true) || (&sandbox.InForce{}).Refuses("/etc", true) {
		t.Error("no sandbox refused something")
	}
}
