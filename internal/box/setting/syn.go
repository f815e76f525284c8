package setting

import (
	"fmt"
	"strconv"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

// judgeHandshakes is about handshakes under way. Since 4.4 (ef547f2ac16b) their number is bounded by the listening socket's own queue, and
// this setting is looked at only while SYN cookies are off.
func judgeHandshakes(s *Sight) Verdict {
	is, err := s.number("net.ipv4.tcp_max_syn_backlog")
	if err != nil {
		return unread(err, "It bounds handshakes under way where SYN cookies are off.")
	}
	text := strconv.FormatInt(is, 10)
	cookies, err := s.number("net.ipv4.tcp_syncookies")
	if s.since(4, 4) && (err != nil || cookies != 0) {
		return fine(text, "With SYN cookies on, kernels since 4.4 bound handshakes under way by the listening socket's queue (net.core.somaxconn) and do not look at this.")
	}
	want := max(queueEnough, int64(s.Workload.Backlog))
	if is >= want {
		return fine(text, "As many handshakes may be under way as connections may wait to be accepted.")
	}
	why := fmt.Sprintf("With SYN cookies off, the kernel refuses unknown clients once three quarters of %s handshakes are under way at a socket.", wording.Grouped(is))
	if err == nil && cookies != 0 {
		why = "Kernels before 4.4 bound handshakes under way by this; beyond it they answer with cookies, which cost TCP its options."
	}
	return propose(box.Hint, text, strconv.FormatInt(want, 10), why)
}

// judgeCookies is about what the kernel does when handshakes under way fill a queue.
func judgeCookies(s *Sight) Verdict {
	is, err := s.number("net.ipv4.tcp_syncookies")
	if err != nil {
		return unread(err, "SYN cookies keep a flood of handshakes from shutting everybody else out.")
	}
	text := strconv.FormatInt(is, 10)
	var sent uint64
	if s.Vitals != nil {
		sent = s.Vitals.Network.SYNCookies
	}
	switch is {
	case 0:
		severity := box.Hint
		if s.Workload.Public {
			severity = box.Warning
		}
		return propose(severity, text, "1", "Without SYN cookies a flood of handshakes that are never finished shuts everybody else out. They cost nothing until a queue is full.")
	case 2:
		v := fine(text, "2 sends cookies to every client, full queue or not, and is meant for tests: such connections may lose options of TCP.")
		v.Severity, v.Want, v.Remedy = box.Hint, "1", "sysctl -w net.ipv4.tcp_syncookies=1, unless this is a test"
		return v
	}
	v := fine(text, "Cookies are sent only while a queue is full; a flood shuts nobody out.")
	if sent > 0 {
		v.Severity, v.Cost = box.Hint, counted(sent, "cookie")+" sent just now"
		v.Why = "Cookies are being sent, so a queue is full: a flood, or more new connections than are accepted."
		v.Remedy = "see net.core.somaxconn, and straum ban list"
	}
	return v
}
