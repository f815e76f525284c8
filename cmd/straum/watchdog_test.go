package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/box/notify"
	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/listen"
	"straum.dev/straum/internal/edge/socket"
)

// hearing is a handler whose sessions answer with a word, or hold the connection and say nothing.
type hearing struct {
	word string
	let  chan bool // closed to let go of those that are held
}

func (h *hearing) Open(c *socket.Conn, _ *exchange.Conn, _ *listen.Gate, _ []byte) listen.Session {
	return &heard{h, c}
}

type heard struct {
	by   *hearing
	conn *socket.Conn
}

func (h *heard) Serve() bool {
	if h.by.word == "" {
		<-h.by.let
		return false
	}
	h.conn.Write([]byte(h.by.word), nil, 0)
	return false
}

func (h *heard) Close() { h.conn.Close() }

// TestWatchdogIsFedByWhatIsServed hangs a listener: the manager hears no more, and hears again once it is served.
func TestWatchdogIsFedByWhatIsServed(t *testing.T) {
	manager := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: manager, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fed := func() (n int) {
		buf := make([]byte, 1024)
		for {
			_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) // what was sent is there: sockets of a box do not delay
			if _, err := c.Read(buf); err != nil {
				return n
			}
			n++
		}
	}
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	set, err := listen.New(log)
	if err != nil {
		t.Fatal(err)
	}
	deaf, well := &hearing{let: make(chan bool)}, &hearing{word: "HTTP/1.1 204 No Content\r\n\r\n"}
	t.Cleanup(func() { close(deaf.let); set.Drain(expired()) })
	use := func(h listen.Handler) {
		t.Helper()
		if err := set.Apply([]listen.Settings{{Name: "main", Address: "127.0.0.1:0"}}, map[string]listen.Handler{"main": h}); err != nil {
			t.Fatal(err)
		}
	}
	w := &watchdog{log: log, manager: notify.Of(func(name string) (string, bool) {
		return map[string]string{"NOTIFY_SOCKET": manager, "WATCHDOG_USEC": "60000000"}[name], true
	}, os.Getpid()), listeners: set}

	use(&hearing{word: "SSH-2.0"})
	w.look(context.Background(), 20*time.Second)
	if n := fed(); n != 1 || strings.Count(text.String(), "cannot see") != 1 {
		t.Errorf("fed %d times by a listener that never was served; the log: %s", n, text.String())
	}
	use(well)
	w.look(context.Background(), 20*time.Second)
	w.look(context.Background(), 20*time.Second)
	if n := fed(); n != 2 || strings.Count(text.String(), "served again") != 1 {
		t.Errorf("fed %d times by a listener that is served; the log: %s", n, text.String())
	}
	use(deaf)
	for range 3 {
		w.look(context.Background(), 100*time.Millisecond)
	}
	if n := fed(); n != 0 || strings.Count(text.String(), "not served any more") != 1 || !strings.Contains(text.String(), "main: nothing was answered in time") {
		t.Errorf("fed %d times by a listener that hangs; the log: %s", n, text.String())
	}
	use(well)
	w.look(context.Background(), 20*time.Second)
	if n := fed(); n != 1 || strings.Count(text.String(), "served again") != 2 {
		t.Errorf("fed %d times by a listener that is served again; the log: %s", n, text.String())
	}

	// That one cannot be seen does not hide that another hangs.
	both := func(main listen.Handler) {
		t.Helper()
		two := []listen.Settings{{Name: "main", Address: "127.0.0.1:0"}, {Name: "other", Address: "127.0.0.2:0"}}
		if err := set.Apply(two, map[string]listen.Handler{"main": main, "other": &hearing{word: "SSH-2.0"}}); err != nil {
			t.Fatal(err)
		}
	}
	both(well)
	w.look(context.Background(), 20*time.Second)
	both(deaf)
	for range 2 {
		w.look(context.Background(), 100*time.Millisecond)
	}
	if n := fed(); n != 1 || strings.Count(text.String(), "cannot see") != 2 || strings.Count(text.String(), "not served any more") != 2 {
		t.Errorf("fed %d times by a listener that hangs beside one that cannot be seen; the log: %s", n, text.String())
	}
}

func TestToldInWords(t *testing.T) {
	for want, s := range map[string]revision.State{
		"no configuration is in force": {},
		"revision 7 is in force":       {InForce: &revision.Revision{Number: 7}},
		"revision 7 is in force; what came after it was refused, see the log": {InForce: &revision.Revision{Number: 7}, LastError: os.ErrInvalid},
	} {
		if got := told(&s); got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	}
}
