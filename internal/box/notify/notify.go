// Package notify tells the service manager that the gateway is ready, reloading, stopping or well (sd_notify(3)), over the datagram socket
// that the manager names in NOTIFY_SOCKET.
//
// It serves no step of a request. It refuses to matter: without a manager, or with one that does not listen, nothing happens, and nobody
// waits for longer than a moment.
//
// In reading order: notify.go (what is told), clock_linux.go (the manager's clock).
package notify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Manager is the service manager. nil is none, of which every method does nothing. It is safe for any number of goroutines.
//
// It holds a socket from the start on until the process ends, so that a gateway that has run out of descriptors, for so many clients, can still
// say that it is alive.
type Manager struct {
	socket   string
	watchdog time.Duration
	pid      int

	mu   sync.Mutex
	conn *net.UnixConn // nil when the manager was not there the last time
}

// Of finds the manager of the process pid in its environment; nil when there is none, or when its socket is of a kind that we do not know.
func Of(getenv func(name string) (string, bool), pid int) *Manager {
	socket, _ := getenv("NOTIFY_SOCKET")
	if !strings.HasPrefix(socket, "/") && !strings.HasPrefix(socket, "@") || len(socket) < 2 {
		return nil
	}
	m := &Manager{socket: socket, pid: pid}
	m.conn, _ = m.dial()
	if of, set := getenv("WATCHDOG_PID"); set && of != strconv.Itoa(pid) {
		return m // meant for another process, such as the one that started this one
	}
	text, _ := getenv("WATCHDOG_USEC")
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 && n < int64(time.Hour/time.Microsecond)*24*365 {
		m.watchdog = time.Duration(n) * time.Microsecond
	}
	return m
}

// Socket is where the manager listens, "@name" for a socket without a file; empty without a manager.
func (m *Manager) Socket() string {
	if m == nil {
		return ""
	}
	return m.socket
}

// Watchdog is how long the manager waits between two of Alive before it takes the process for dead; 0 is for ever.
func (m *Manager) Watchdog() time.Duration {
	if m == nil {
		return 0
	}
	return m.watchdog
}

// Ready says that requests are served, after the start and after each reload, and what is in force, in words.
func (m *Manager) Ready(status string) {
	m.tell("READY=1", status, fmt.Sprintf("MAINPID=%d", m.pidOf()))
}

// Reloading says that the configuration is about to be read again. Ready ends it.
func (m *Manager) Reloading(status string) {
	m.tell("RELOADING=1", status, "MONOTONIC_USEC="+strconv.FormatInt(monotonic(), 10))
}

// Stopping says that the process ends, at the latest after patience: the manager is not to end it before.
func (m *Manager) Stopping(status string, patience time.Duration) {
	m.tell("STOPPING=1", status, "EXTEND_TIMEOUT_USEC="+strconv.FormatInt(patience.Microseconds(), 10))
}

// Status says how things are, in words of one line.
func (m *Manager) Status(status string) { m.tell("", status) }

// Alive says that the process does what it is for. Not to say so for Watchdog has it ended.
func (m *Manager) Alive() { m.tell("WATCHDOG=1", "") }

func (m *Manager) pidOf() int {
	if m == nil {
		return 0
	}
	return m.pid
}

// sendWithin is how long a manager that does not read may keep us.
const sendWithin = 500 * time.Millisecond

// tell sends one datagram. What goes wrong concerns nobody.
func (m *Manager) tell(state, status string, more ...string) {
	if m == nil {
		return
	}
	var lines []string
	if state != "" {
		lines = append(lines, state)
	}
	if status != "" {
		lines = append(lines, "STATUS="+strings.Join(strings.Fields(status), " "))
	}
	lines = append(lines, more...)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.send([]byte(strings.Join(lines, "\n") + "\n"))
}

// send writes one datagram, to the manager that comes next if the one before is gone. The lock is held.
func (m *Manager) send(text []byte) {
	for range 2 {
		if m.conn == nil {
			var err error
			if m.conn, err = m.dial(); err != nil {
				return
			}
		}
		_ = m.conn.SetWriteDeadline(time.Now().Add(sendWithin))
		_, err := m.conn.Write(text)
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) { // it does not read, and a new connection would not help
			return
		}
		m.conn.Close()
		m.conn = nil
	}
}

func (m *Manager) dial() (*net.UnixConn, error) {
	return net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
}
