package doctor

import (
	"context"

	"straum.dev/straum/internal/box"
)

// lookGovernor tells who chooses the processors' clock rate.
func lookGovernor(_ context.Context, p *Patient) []box.Finding {
	const dir = "/sys/devices/system/cpu/cpu0/cpufreq"
	why := "A core that is clocked down when it wakes for a request takes longer over it: little load has worse times than more load then."
	governor := word(p.Machine, dir+"/scaling_governor")
	if governor == "" {
		switch p.Facts.Guest.Machine {
		case "none":
			return one(good("the kernel does not change the clock rate", why))
		case "":
			return one(unknown("neither a governor nor what kind of guest this is can be seen", why, ""))
		}
		return one(good("left to the machine around this guest", why))
	}
	driver := word(p.Machine, dir+"/scaling_driver")
	preference := word(p.Machine, dir+"/energy_performance_preference")
	itself := preference != "" || driver == "intel_pstate" || driver == "amd-pstate-epp"
	is := governor
	if driver != "" {
		is += " (" + driver + ")"
	}
	f := box.Finding{Severity: box.Good, Is: is, Want: is, Why: why}
	set := "cpupower frequency-set -g performance (package linux-cpupower), at each start"
	switch {
	case governor == "performance":
	case itself: // the processor chooses, and powersave is only this driver's word for that
		if preference != "" {
			f.Is += ", preference " + preference
		}
		f.Is += ": the processor chooses by itself"
		f.Want = f.Is
		if preference == "power" || preference == "balance_power" {
			f.Severity, f.Want = box.Hint, "preference balance_performance or performance"
			f.Remedy = "echo balance_performance | tee /sys/devices/system/cpu/cpu*/cpufreq/energy_performance_preference, at each start"
		}
	case governor == "powersave":
		f.Severity, f.Want, f.Remedy = box.Warning, "performance", set
		f.Why = "With this driver powersave keeps every core at its lowest clock rate, whatever the load."
		if low, high := word(p.Machine, dir+"/scaling_min_freq"), word(p.Machine, dir+"/scaling_max_freq"); low != "" && high != "" {
			f.Cost = "the cores run at " + megahertz(low) + " of " + megahertz(high)
		}
	default: // ondemand, conservative, schedutil: they follow the load, late
		f.Severity, f.Want, f.Remedy = box.Hint, "performance, where power does not matter", set
	}
	return one(f)
}

// megahertz writes a rate that the kernel gives in kHz.
func megahertz(kilohertz string) string {
	if len(kilohertz) <= 3 {
		return kilohertz + " kHz"
	}
	return kilohertz[:len(kilohertz)-3] + " MHz"
}
