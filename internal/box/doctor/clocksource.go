package doctor

import (
	"context"
	"strings"
	"time"

	"straum.dev/straum/internal/box"
)

// slowReading is what a reading of the clock takes when it needs the kernel; without, it is a few dozen nanoseconds.
const slowReading = 400 * time.Nanosecond

// slowSources need the kernel, or a device, for each reading.
var slowSources = map[string]bool{"hpet": true, "acpi_pm": true, "jiffies": true, "refined-jiffies": true, "pit": true}

// lookSource tells which clock the kernel reads, and what a reading takes.
func lookSource(_ context.Context, p *Patient) []box.Finding {
	const dir = "/sys/devices/system/clocksource/clocksource0/"
	why := "The gateway and the runtime read the clock several times a request. With tsc, kvm-clock and the like that is done without the kernel; with hpet and acpi_pm each reading is a call and a walk to a device."
	current, err := p.Machine.Read(dir + "current_clocksource")
	if err != nil {
		return one(unknown(unread(dir+"current_clocksource", err), why, ""))
	}
	is, takes := current, time.Duration(0)
	if p.Probes.ReadClock != nil {
		takes = p.Probes.ReadClock()
		is += ", a reading takes " + short(takes)
	}
	f := box.Finding{Severity: box.Good, Is: is, Want: is, Why: why}
	if !slowSources[current] && takes < slowReading {
		return one(f)
	}
	better := ""
	for name := range strings.FieldsSeq(word(p.Machine, dir+"available_clocksource")) {
		if !slowSources[name] && name != current && better == "" {
			better = name
		}
	}
	f.Severity, f.Want = box.Warning, "tsc, or what the machine around this guest offers"
	if !slowSources[current] { // it should be quick and is not: some machines make guests ask for each reading
		f.Severity = box.Hint
	}
	if takes > 0 {
		f.Cost = short(takes) + " a reading, measured; some 40ns are usual"
	}
	switch {
	case better != "":
		f.Want = better
		f.Remedy = "echo " + better + " > " + dir + "current_clocksource, and clocksource=" + better + " on the kernel's command line; the kernel's log says why it was not chosen (dmesg | grep -i clocksource)"
	default:
		f.Remedy = "dmesg | grep -i -e tsc -e clocksource says why the kernel gave up the better one; in a guest it is the provider's to mend"
	}
	return one(f)
}
