package setting

import (
	"fmt"
	"strconv"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

// queueEnough is the kernel's own default since 5.4 (19f92a030ca6). A longer queue makes those at its end wait rather than be
// served.
const queueEnough = 4096

// judgeQueue is about connections that finished their handshake and wait to be accepted. Each socket of a listener (SO_REUSEPORT) has such
// a queue of its own.
func judgeQueue(s *Sight) Verdict {
	const key = "net.core.somaxconn"
	is, err := s.number(key)
	if err != nil {
		return unread(err, "It bounds the queue in which new connections wait for the gateway.")
	}
	var window uint64
	if s.Vitals != nil {
		window = s.Vitals.Network.ListenOverflows
	}
	boot := s.counter("/proc/net/netstat", "TcpExt", "ListenOverflows")
	const what = "new connection* found a queue full"

	want := max(queueEnough, int64(s.Workload.Backlog))
	if is >= want {
		v := fine(strconv.FormatInt(is, 10), "The queue of each listening socket is as long as the listeners ask for.")
		if window > 0 || boot > 0 {
			v.Why = "The queue is long enough; who found one full met a process that did not accept in time, or one that asks for a short queue. A longer one would make more of them wait."
			v.Remedy = "look at steal, processor pressure and the time goroutines wait to run; the count is for every program on the box"
		}
		return v.worse(window, boot, what)
	}
	severity := box.Hint
	if is < 1024 {
		severity = box.Warning
	}
	why := fmt.Sprintf("Each listening socket's queue is cut to %s. It is full when nothing is accepted for 100 ms at %s new connections a second; the kernel then drops the end of the handshake, and the client tries again a second later.",
		wording.Grouped(is), wording.Grouped(10*is))
	if b := int64(s.Workload.Backlog); b > queueEnough {
		why = fmt.Sprintf("A listener asks for a queue of %s, and the kernel cuts it to %s. Who finds it full tries again a second later.", wording.Grouped(b), wording.Grouped(is))
	}
	v := propose(severity, strconv.FormatInt(is, 10), strconv.FormatInt(want, 10), why)
	v.Remedy = "a listening socket takes it when the gateway starts: systemctl restart straum"
	return v.worse(window, boot, what)
}
