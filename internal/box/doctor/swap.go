package doctor

import (
	"context"
	"fmt"
	"strings"

	"straum.dev/straum/internal/box"
)

// swapHint is how much of the machine's memory may lie in swap before it is told.
const swapHint = 0.10

// swapOwn is how much of the gateway in swap matters. A few pages that it used as it started are nobody's loss.
const swapOwn = 8 << 20

// lookSwap tells what lies in swap, and whether the gateway does. vm.swappiness is a setting.
func lookSwap(_ context.Context, p *Patient) []box.Finding {
	text, err := p.Machine.Read("/proc/swaps")
	if err != nil {
		return one(unknown("what swap there is cannot be seen: "+unread("/proc/swaps", err), "", ""))
	}
	var areas []string
	_, list, _ := strings.Cut(text, "\n") // below the heads
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) > 0 {
			areas = append(areas, f[0])
		}
	}
	if len(areas) == 0 {
		return one(good("none", "Without swap the kernel kills sooner and everything stays fast until then; with little memory, a small one (zram best) gives time to notice. Either is sound."))
	}
	where := strings.Join(areas, ", ")
	if strings.Contains(where, "zram") {
		where += " (compressed memory, not a disk)"
	}
	f := box.Finding{Severity: box.Good, Is: "swap on " + where, Why: "What lies in swap is read back when it is next needed, and a request that needs it waits for that: milliseconds on a disk."}
	if p.Facts.Swap > 0 {
		f.Is = size(p.Facts.Swap) + " of " + f.Is
	}
	f.Want = "nothing of the gateway in swap, and little of the rest"
	f.Remedy = "find out what needs the memory (see memory_left); once it is free, swapoff -a && swapon -a brings everything back"
	if out, ok := counter(p.Machine, p.process()+"/status", "VmSwap"); ok && out<<10 > swapOwn && p.Running != nil {
		f.Severity = box.Warning
		f.Cost = fmt.Sprintf("%s of the gateway itself lie in swap", size(int64(out)<<10))
		return one(f)
	}
	if v := p.Vitals; v != nil && v.Memory.Total > 0 {
		f.Is += fmt.Sprintf(", %s of it used", size(v.Memory.Swapped))
		if float64(v.Memory.Swapped) > swapHint*float64(v.Memory.Total) {
			f.Severity = box.Hint
			f.Cost = percent(float64(v.Memory.Swapped)/float64(v.Memory.Total)) + " of as much as there is memory lies in swap"
			return one(f)
		}
	}
	f.Want, f.Remedy = f.Is, ""
	return one(f)
}
