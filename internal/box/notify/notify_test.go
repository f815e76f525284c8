package notify_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/internal/box/notify"
)

// listen plays the manager: it returns its socket and what comes in next.
func listen(t *testing.T, name string) (next func() string) {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Skipf("no datagram socket at %s: %v", name, err)
	}
	t.Cleanup(func() { c.Close() })
	return func() string {
		t.Helper()
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

// environment is one of the given variables.
func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestToldToBothKindsOfSockets(t *testing.T) {
	sockets := []string{filepath.Join(t.TempDir(), "notify")}
	if runtime.GOOS == "linux" {
		sockets = append(sockets, "@straum-notify-test-"+strconv.Itoa(os.Getpid()))
	}
	for _, socket := range sockets {
		next := listen(t, socket)
		m := notify.Of(environment("NOTIFY_SOCKET", socket), 42)
		if m.Socket() != socket || m.Watchdog() != 0 {
			t.Errorf("found the socket %q and the watchdog %s", m.Socket(), m.Watchdog())
		}
		for _, told := range []struct {
			do   func()
			want string
		}{
			{func() { m.Ready("revision 1\nis in force") }, "READY=1\nSTATUS=revision 1 is in force\nMAINPID=42\n"},
			{func() { m.Stopping("stopping", 30*time.Second) }, "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=30000000\n"},
			{func() { m.Status("all is well") }, "STATUS=all is well\n"},
			{m.Alive, "WATCHDOG=1\n"},
		} {
			told.do()
			if got := next(); got != told.want {
				t.Errorf("found %q, want %q", got, told.want)
			}
		}
		m.Reloading("reading the configuration")
		got := next()
		text, since, _ := strings.Cut(strings.TrimSpace(got), "MONOTONIC_USEC=")
		if text != "RELOADING=1\nSTATUS=reading the configuration\n" {
			t.Errorf("found %q", got)
		}
		if n, err := strconv.ParseInt(since, 10, 64); err != nil || runtime.GOOS == "linux" && n <= 0 {
			t.Errorf("found %q for the time", since)
		}
	}
}

// TestToldWithoutDescriptors has a process say that it is alive although it may open nothing any more.
func TestToldWithoutDescriptors(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	next := listen(t, socket)
	m := notify.Of(environment("NOTIFY_SOCKET", socket), 42)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	none := before
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before)
	if f, err := os.Open("."); err == nil {
		f.Close()
		t.Skip("this system lets descriptors be had beyond the limit")
	}
	m.Alive()
	if got := next(); got != "WATCHDOG=1\n" {
		t.Errorf("found %q", got)
	}
}

// TestManagerThatComesAnew is told by the next word.
func TestManagerThatComesAnew(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	first, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Skip(err)
	}
	m := notify.Of(environment("NOTIFY_SOCKET", socket), 42)
	first.Close()
	m.Alive() // to nobody
	os.Remove(socket)
	next := listen(t, socket)
	m.Status("again")
	if got := next(); got != "STATUS=again\n" {
		t.Errorf("found %q", got)
	}
}

func TestWatchdog(t *testing.T) {
	for _, c := range []struct {
		name        string
		environment []string
		want        time.Duration
	}{
		{"asked for", []string{"WATCHDOG_USEC", "30000000"}, 30 * time.Second},
		{"of this process", []string{"WATCHDOG_USEC", "30000000", "WATCHDOG_PID", "42"}, 30 * time.Second},
		{"of another process", []string{"WATCHDOG_USEC", "30000000", "WATCHDOG_PID", "41"}, 0},
		{"not asked for", nil, 0},
		{"no number", []string{"WATCHDOG_USEC", "soon"}, 0},
		{"none", []string{"WATCHDOG_USEC", "0"}, 0},
		{"too many", []string{"WATCHDOG_USEC", "9223372036854775807"}, 0},
	} {
		m := notify.Of(environment(append(c.environment, "NOTIFY_SOCKET", "/run/notify")...), 42)
		if got := m.Watchdog(); got != c.want {
			t.Errorf("%s: found %s, want %s", c.name, got, c.want)
		}
	}
}

func TestWithoutAManagerNothingHappens(t *testing.T) {
	for _, socket := range []string{"", "/", "@", "vsock:2:1234", "relative"} {
		if m := notify.Of(environment("NOTIFY_SOCKET", socket), 1); m != nil {
			t.Errorf("%q was taken for a manager's socket", socket)
		}
	}
	for _, m := range []*notify.Manager{nil, notify.Of(environment("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody")), 1)} {
		m.Ready("")
		m.Reloading("")
		m.Stopping("", time.Second)
		m.Status("")
		m.Alive()
	}
}
