// Package doctor looks at the box and at the gateway on it, check by check: what is, what should be for this configuration and why, what
// the difference costs now, and how to mend it. Each check is a file; order.go lists them.
//
// It serves no step of a request. It refuses to change anything, to show a secret, and to call something good that it could not see.
package doctor

import (
	"context"
	"strconv"
	"strings"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/setting"
	"straum.dev/straum/internal/box/vitals"
	"straum.dev/straum/internal/config"
)

// Patient is all that checks may look at. They run at the same time and change none of it.
type Patient struct {
	Machine  *box.Machine
	Facts    *box.Facts
	File     string            // the configuration's file; empty when there is none
	Config   *config.Config    // nil when there is none; checks of the configuration are left out then
	Mistakes error             // why Config is nil although there is a file
	Workload *setting.Workload // what Config asks of the box, by setting.Asked
	Vitals   *vitals.Vitals    // over the window; nil when none were taken
	Running  *Running          // nil when no gateway answered
	Probes   Probes            // what takes more than reading files
	Now      time.Time
}

// Running is what a gateway that runs on this box says of itself, by its admin API.
type Running struct {
	PID       int // as numbered where doctor runs; 0 when the process cannot be seen from there
	Version   string
	Memory    int64             // GOMEMLIMIT in force, bytes; the largest number there is when there is none, as Go says it; 0 is unknown
	Listeners map[string]string // name to address in use
	LogLost   uint64            // lines of the access log that were dropped
	Attention []string          // what works for now and needs somebody all the same
	Sandbox   string            // what is in force, in words; empty is unknown
	Lacking   []string          // of the sandbox: what is not in force, and why
}

// Check is one thing that is looked at. A check that does not concern this patient returns nothing.
type Check struct {
	ID    string
	Group string // kernel, memory, processor, network, disk, time, gateway, security: headings of the table, in order.go's order
	Look  func(context.Context, *Patient) []box.Finding
	// Keeps is how long its findings are good for while a box is watched. 0 is for one look: it costs next to nothing to look again.
	Keeps time.Duration
}

// notKnown is why a fact could not be found out, as the facts say it; empty when they do not.
func (p *Patient) notKnown(fact string) string {
	for _, text := range p.Facts.Unknown {
		if why, ok := strings.CutPrefix(text, fact+": "); ok {
			return why
		}
	}
	return ""
}

// process is the directory of the gateway's process under /proc. Without a running gateway it is our own; that of one that cannot be seen is
// not there.
func (p *Patient) process() string {
	if p.Running == nil {
		return "/proc/self"
	}
	return "/proc/" + strconv.Itoa(p.Running.PID)
}

// unseen says that a gateway runs whose process cannot be looked at from here.
func (p *Patient) unseen() bool { return p.Running != nil && p.Running.PID == 0 }

const notHere = "the gateway's process cannot be seen from here: it is in another container"
