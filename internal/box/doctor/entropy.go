package doctor

import (
	"context"
	"strconv"

	"straum.dev/straum/internal/box"
)

// lookEntropy says that randomness is no issue, which much advice still says it is.
func lookEntropy(_ context.Context, p *Patient) []box.Finding {
	why := "Keys and identities are made with getrandom(2), which waits once, early at the start of the box, and never again; haveged and the like are not needed."
	bits, err := number(p.Machine, "/proc/sys/kernel/random/entropy_avail")
	if p.Facts.Kernel.AtLeast(5, 18) {
		if err == nil && bits < 256 {
			return one(box.Finding{Severity: box.Warning, Is: strconv.FormatInt(bits, 10) + " of 256 bits: the kernel's generator has not begun yet", Want: "256 bits",
				Why: "Until it has, whoever needs a key waits. It takes seconds at the start of a box that has some source of chance.", Remedy: "have the machine around this guest offer virtio-rng, and look again"})
		}
		return one(good("the kernel's generator is seeded", why))
	}
	switch {
	case err != nil:
		return one(unknown(unread("/proc/sys/kernel/random/entropy_avail", err), why, ""))
	case bits < 64 && !p.Facts.Kernel.AtLeast(5, 6):
		return one(box.Finding{Severity: box.Hint, Is: strconv.FormatInt(bits, 10) + " bits left for /dev/random", Want: "whatever it is, for Straum",
			Why: "Before Linux 5.6 programs that read /dev/random wait when this runs low. Straum does not read it: " + why, Remedy: "nothing for Straum's sake; a newer kernel for the others"})
	}
	return one(good(strconv.FormatInt(bits, 10)+" bits", why))
}
