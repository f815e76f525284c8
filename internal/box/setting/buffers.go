package setting

import (
	"fmt"
	"strconv"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

// The kernel's own upper bounds of the buffers that it sizes by itself, on boxes with enough memory; on small ones they are 1/128 of it
// (tcp_init). For receiving it is 32 MiB since 6.16; who has less than that and no less than 6 MiB is left alone.
const (
	receiveMost = 6 << 20
	sendMost    = 4 << 20
	memoryPart  = 128
)

// farAway is the round trip that speeds are told for, in seconds: across an ocean.
const farAway = 0.1

func judgeReceiveBuffers(s *Sight) Verdict {
	return s.buffers("net.ipv4.tcp_rmem", receiveMost, "take in")
}

func judgeSendBuffers(s *Sight) Verdict { return s.buffers("net.ipv4.tcp_wmem", sendMost, "send") }

// buffers judges least, first and greatest size of a buffer that the kernel sizes by itself. The greatest bounds the speed of one connection
// over a long path: about half of it is under way during a round trip.
func (s *Sight) buffers(key string, most int64, verb string) Verdict {
	n, err := s.numbers(key, 3)
	if err != nil {
		return unread(err, "TCP sizes its buffers by itself within these bounds.")
	}
	is := fmt.Sprintf("%d %d %d", n[0], n[1], n[2])
	speed := func(bytes int64) string {
		return wording.Grouped(int64(float64(bytes)/2/farAway*8/1e6)) + " Mbit/s"
	}
	want := most
	if s.Facts.Total > 0 {
		want = min(most, s.Facts.Total/memoryPart)
	}
	switch {
	case n[1] > 1<<20:
		v := fine(is, fmt.Sprintf("The second number is what every connection starts with: %s let one that never needs it take it. The kernel lets buffers grow up to the third by itself.", mib(n[1])))
		v.Severity, v.Want, v.Remedy = box.Hint, "a start of 128 KiB or less", "look for "+key+" in /etc/sysctl.conf and /etc/sysctl.d"
		return v
	case n[2]*4 >= want*3: // the kernel reckons with less than all memory
		return fine(is, fmt.Sprintf("TCP sizes its buffers by itself up to %s; one connection can %s about %s over a path of 100 ms.", mib(n[2]), verb, speed(n[2])))
	}
	why := fmt.Sprintf("Somebody lowered the greatest size below the kernel's own for this much memory: one connection can %s no more than about %s over a path of 100 ms. Buffers take memory only while they are full.", verb, speed(n[2]))
	return propose(box.Hint, is, fmt.Sprintf("%d %d %d", n[0], n[1], want), why)
}

func judgeReceiveCap(s *Sight) Verdict { return s.cap("net.core.rmem_max", "tcp_rmem", "SO_RCVBUF") }

func judgeSendCap(s *Sight) Verdict { return s.cap("net.core.wmem_max", "tcp_wmem", "SO_SNDBUF") }

// cap leaves alone what bounds programs that size their buffers by hand, which the gateway does not.
func (s *Sight) cap(key, own, option string) Verdict {
	is, err := s.number(key)
	why := fmt.Sprintf("It bounds what a program asks for by %s. The gateway leaves the size to the kernel, which goes by %s alone.", option, own)
	if err != nil {
		return unread(err, why)
	}
	return fine(strconv.FormatInt(is, 10), why+" Left as it is.")
}
