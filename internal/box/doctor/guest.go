package doctor

import (
	"context"
	"strings"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/setting"
	"straum.dev/straum/internal/wording"
)

// lookGuest tells what kind of guest the box is, and what such a guest cannot set.
func lookGuest(_ context.Context, p *Patient) []box.Finding {
	g := p.Facts.Guest
	why := "What a guest may set, and who takes its processors away, depends on what is around it."
	is := kindOfGuest(g)
	if g.Container == "" {
		if is == "" {
			return one(unknown("what is around it cannot be seen", why, "systemd-detect-virt"))
		}
		return one(good(is, why))
	}
	var not []string
	for _, r := range setting.Rules() {
		if strings.Contains(r.Key, ".") && p.Machine.Forbidden(r.Key) != nil {
			not = append(not, r.Key)
		}
	}
	if len(not) == 0 {
		return one(good(is, why))
	}
	const most = 6
	list := strings.Join(not[:min(len(not), most)], ", ")
	if len(not) > most {
		list += " and " + wording.Count(len(not)-most, "other")
	}
	return one(box.Finding{Severity: box.Hint, Is: is + "; it may not set " + list, Want: "settings made on the machine around it",
		Why:    "A container shares the kernel with others; what is not of its own network belongs to the machine around it. straum tune leaves those out.",
		Remedy: "run straum tune on the machine around, or start the container with --sysctl for what is of its network"})
}
