package setting

import (
	"fmt"
	"slices"
	"strings"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

// From lossShare on of all segments sent again, judged by lossSegments at least, BBR is worth proposing: it goes by the bandwidth it has
// measured, where cubic takes each loss for a full path.
const (
	lossShare    = 0.01
	lossSegments = 100_000
)

// judgeCongestion is about how TCP finds out how fast it may send.
func judgeCongestion(s *Sight) Verdict {
	is, err := s.text("net.ipv4.tcp_congestion_control")
	if err != nil {
		return unread(err, "It decides how fast a connection sends.")
	}
	if is == "bbr" {
		return fine("bbr", "BBR goes by the bandwidth it measures and takes a loss for no more than that.")
	}
	state := s.bbr()
	sent, again := s.counter("/proc/net/snmp", "Tcp", "OutSegs"), s.counter("/proc/net/snmp", "Tcp", "RetransSegs")
	share := 0.0
	if sent > 0 {
		share = float64(again) / float64(sent)
	}
	shown := fmt.Sprintf("%s (bbr: %s)", is, state)
	switch {
	case !s.Workload.Public && !s.Workload.Outgoing:
		return fine(shown, "All connections are within this box, where it makes no difference.")
	case sent < lossSegments || share < lossShare:
		return fine(shown, fmt.Sprintf("%.2f %% of the segments were sent again since the box started; BBR begins to pay where paths lose 1 %% or more, and for long answers.", 100*share))
	case state == "not in this kernel":
		return fine(shown, "Paths lose segments, for which BBR is better, but this kernel does not have it.")
	case !s.since(4, 13) && !s.queueing("fq"):
		return fine(shown, "Paths lose segments, for which BBR is better, but before 4.13 it needs the queue fq (net.core.default_qdisc), which is not in use.")
	}
	v := propose(box.Hint, shown, "bbr", fmt.Sprintf("%s takes each lost segment for a full path and slows down. BBR goes by the bandwidth it measures, which helps long answers over paths that lose segments; answers of a few KB gain nothing.", is))
	v.Cost = fmt.Sprintf("%.1f %% of the segments sent since the box started were sent again (%s of %s)", 100*share, wording.Grouped(again), wording.Grouped(sent))
	return v
}

// queueing says that network cards get this queue.
func (s *Sight) queueing(want string) bool {
	is, err := s.text("net.core.default_qdisc")
	return err == nil && is == want
}

// bbr says how this kernel has BBR: "loaded", "available" as a module that is loaded when it is asked for, or "not in this kernel".
func (s *Sight) bbr() string {
	if all, err := s.text("net.ipv4.tcp_available_congestion_control"); err == nil && slices.Contains(strings.Fields(all), "bbr") {
		return "loaded"
	}
	release := s.Facts.Kernel.Text
	if release == "" || strings.ContainsAny(release, "/\\") {
		return "not in this kernel"
	}
	if list, err := s.Machine.Read("/lib/modules/" + release + "/modules.dep"); err == nil && strings.Contains(list, "/tcp_bbr.ko") {
		return "available"
	}
	return "not in this kernel"
}

// judgeQueueing is about the queue in front of a network card. BBR needs its packets spaced, which only fq did before 4.13; since then TCP
// does it by itself (218af599fa63).
func judgeQueueing(s *Sight) Verdict {
	is, err := s.text("net.core.default_qdisc")
	if err != nil {
		return unread(err, "It is the queue that network cards get. It belongs to the machine, not to a container.")
	}
	control, err := s.text("net.ipv4.tcp_congestion_control")
	switch {
	case is == "fq":
		return fine(is, "fq spaces what each connection sends.")
	case err == nil && control == "bbr" && !s.since(4, 13):
		v := propose(box.Warning, is, "fq", "Before 4.13 only fq spaces packets as BBR needs it; without it BBR overruns the path.")
		v.Remedy = "network cards that are up keep their queue: tc qdisc replace dev INTERFACE root fq, or reboot"
		return v
	case !s.since(4, 13):
		return fine(is, "Before 4.13 BBR alone needs the queue fq, and it is not in use.")
	}
	return fine(is, "Since 4.13 TCP spaces packets by itself where congestion control wants it, so any queue will do.")
}
