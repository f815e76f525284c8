package doctor

import (
	"context"
	"fmt"

	"straum.dev/straum/internal/box"
)

// From which share of an interface's speed on packets begin to wait for it.
const speedHint, speedWarning = 0.60, 0.85

// lookSpeed compares what goes through an interface with what it can carry.
func lookSpeed(_ context.Context, p *Patient) (found []box.Finding) {
	if p.Vitals == nil {
		return one(unknown("what goes through cannot be read", "Throughput is seen over a time.", ""))
	}
	why := "Near an interface's speed packets queue in front of it, and every answer behind a long one is late."
	own := map[string]bool{}
	for _, name := range interfaces(p.Machine) {
		own[name] = true
	}
	for _, i := range p.Vitals.Network.Interfaces {
		if !own[i.Name] {
			continue
		}
		most := max(i.Received, i.Sent)
		is := fmt.Sprintf("%s in, %s out", throughput(i.Received), throughput(i.Sent))
		if i.Ceiling <= 0 {
			f := unknown(is+"; its driver does not say how much it can carry", why+" Virtual interfaces carry what the provider lets them.", "look it up in the provider's terms, or measure it (iperf3 against another box of yours)")
			found = append(found, about(i.Name, f))
			continue
		}
		f := box.Finding{Severity: box.Good, Is: is + ", of " + throughput(i.Ceiling), Want: "below " + percent(speedHint), Why: why}
		switch {
		case most > speedWarning*i.Ceiling:
			f.Severity = box.Warning
		case most > speedHint*i.Ceiling:
			f.Severity = box.Hint
		default:
			f.Want = f.Is
			found = append(found, about(i.Name, f))
			continue
		}
		f.Cost = percent(most/i.Ceiling) + " of its speed in use over " + short(p.Vitals.Window)
		f.Remedy = "compress answers (policy compress), have clients keep them (policy headers: Cache-Control), or take a plan with more bandwidth or a second box"
		found = append(found, about(i.Name, f))
	}
	if len(found) == 0 {
		return noInterface()
	}
	return found
}

// throughput writes bytes a second as networks count them.
func throughput(bytes float64) string {
	b := bytes * 8
	switch {
	case b >= 1e9:
		return digits(b/1e9) + " Gbit/s"
	case b >= 1e6:
		return digits(b/1e6) + " Mbit/s"
	}
	return digits(b/1e3) + " kbit/s"
}
