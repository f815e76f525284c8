package doctor

import (
	"context"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/setting"
)

// settings makes a check of each rule about what the kernel is set to.
func settings() []Check {
	rules := setting.Rules()
	checks := make([]Check, len(rules))
	for i, r := range rules {
		checks[i] = Check{ID: r.Key, Group: "kernel", Look: func(_ context.Context, p *Patient) []box.Finding {
			v := r.Judge(&setting.Sight{Machine: p.Machine, Facts: p.Facts, Workload: p.Workload, Vitals: p.Vitals})
			return one(v.Finding)
		}}
	}
	return checks
}
