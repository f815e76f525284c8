package doctor

import (
	"context"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

// lookOOM counts the processes that the kernel killed for want of memory.
func lookOOM(_ context.Context, p *Patient) []box.Finding {
	why := "A gateway that is killed loses every connection and all it had in memory. Whoever else was killed tells that memory is short."
	remedy := "see who it was: journalctl -k | grep -i 'killed process'; then memory_left and memory_budget"
	container := p.Facts.Guest.Container != ""
	if g := groupOf(p.Machine, p.process()); (p.Running != nil || container) && g.Kills > 0 {
		return one(box.Finding{
			Severity: box.Bad, Is: processes(g.Kills) + " of the gateway's control group killed", Want: "none", Why: why,
			Cost: wording.Count(g.Kills, "kill") + " since the group began", Remedy: remedy,
		})
	}
	kills, ok := counter(p.Machine, "/proc/vmstat", "oom_kill")
	switch {
	case !ok:
		return one(unknown("this kernel does not count them, or the count cannot be read", why, "journalctl -k | grep -i 'killed process'"))
	case kills > 0 && container: // the kernel counts for all, and does not say whose they were
		return one(box.Finding{
			Severity: box.Hint, Is: processes(kills) + " killed on the machine around this container", Want: "none", Why: why + " They may be other people's.",
			Cost: wording.Count(kills, "kill") + " since that machine started", Remedy: remedy + ", on that machine",
		})
	case kills > 0:
		return one(box.Finding{
			Severity: box.Warning, Is: processes(kills) + " killed since the box started", Want: "none", Why: why,
			Cost: wording.Count(kills, "kill"), Remedy: remedy,
		})
	}
	return one(good("none since the box started", why))
}

func processes(n uint64) string {
	if n == 1 {
		return "1 process"
	}
	return wording.Grouped(n) + " processes"
}
