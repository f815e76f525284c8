package doctor

import (
	"context"
	"maps"
	"slices"
	"strings"

	"straum.dev/straum/internal/box"
)

// lookOffloads tells which work on packets an interface does not take off the processors.
func lookOffloads(_ context.Context, p *Patient) (found []box.Finding) {
	names := interfaces(p.Machine)
	if len(names) == 0 {
		return noInterface()
	}
	for _, name := range names {
		why := "With them the kernel handles many packets of a stream at once (tso and gso out, gro in) and the interface does the checksums. Without, each packet of 1.5 KB takes the whole way through the stack by itself."
		if p.Probes.Offloads == nil {
			found = append(found, about(name, unknown("drivers of another box cannot be asked", "", "")))
			continue
		}
		has, err := p.Probes.Offloads(name)
		if err != nil || len(has) == 0 {
			text := "its driver does not say"
			if err != nil {
				text = "its driver cannot be asked: " + cause(err)
			}
			found = append(found, about(name, unknown(text, why, "ethtool -k "+name)))
			continue
		}
		var on, off []string
		for _, word := range slices.Sorted(maps.Keys(has)) {
			if has[word] {
				on = append(on, word)
			} else {
				off = append(off, word)
			}
		}
		if len(off) == 0 {
			found = append(found, about(name, good(strings.Join(on, ", ")+" on", why)))
			continue
		}
		f := box.Finding{Severity: box.Hint, Is: strings.Join(off, ", ") + " off", Want: "on", Why: why}
		f.Remedy = "ethtool -K " + name
		for _, word := range off {
			f.Remedy += " " + strings.Replace(word, "checksums", "tx", 1) + " on"
		}
		f.Remedy += "; what the driver refuses, the machine around this guest does not offer"
		found = append(found, about(name, f))
	}
	return found
}
