package doctor

import (
	"context"

	"straum.dev/straum/internal/box"
)

// lookKind tells of volumes that do not keep what is written, or keep it far away.
func lookKind(_ context.Context, p *Patient) (found []box.Finding) {
	for _, v := range volumes(p.Config) {
		if p.Probes.Space == nil {
			found = append(found, of(v, unknown("volumes of another box cannot be asked", "", "")))
			continue
		}
		at := p.nearest(v.path)
		s, err := p.Probes.Space(at)
		if err != nil {
			found = append(found, of(v, unknown(place(v, at)+": "+cause(err), "", "")))
			continue
		}
		found = append(found, of(v, kindOf(p, v, at, s.Kind)))
	}
	return found
}

// lost is what goes with a volume that does not keep what it has.
var lost = map[string]string{
	"state": "the ACME account, issued certificates, keys of TLS sessions and bans; asking for certificates again soon meets the authority's limits",
	"cache": "everything that is stored, so that endpoints get the whole load at first",
	"log":   "the access log",
}

func kindOf(p *Patient, v volume, at, kind string) box.Finding {
	why := "What the gateway keeps in " + v.name + " is to outlive a restart, and to be there quickly."
	f := box.Finding{Severity: box.Good, Is: place(v, at) + " is on a disk", Why: why}
	switch kind {
	case "tmpfs", "ramfs":
		f.Severity, f.Is = box.Warning, place(v, at)+" is "+kind+": it lies in memory"
		f.Want, f.Cost, f.Remedy = "a disk", "lost with each start of the box: "+lost[v.name], "set "+key(v)+" to a directory on a disk"
		if v.name != "state" {
			f.Severity = box.Hint
		}
	case "overlay":
		f.Is = place(v, at) + " is on an overlay"
		if p.Facts.Guest.Container != "" {
			f.Severity, f.Is = box.Warning, f.Is+": the container's own layer"
			f.Want, f.Cost, f.Remedy = "a volume of its own", "lost when the container is made anew: "+lost[v.name], "mount a volume at "+v.path
			if v.name != "state" {
				f.Severity = box.Hint
			}
		}
	case "nfs", "cifs", "9p", "fuse":
		f.Severity, f.Is = box.Hint, place(v, at)+" is "+kind+": mostly another machine's disk"
		f.Want, f.Remedy = "a disk of this box", "set "+key(v)+" to a directory on one, unless disk_latency finds this one quick"
		f.Why += " Over a network it is slower, and hangs when the network does; requests do not wait for it, but log lines are dropped and nothing new is stored meanwhile."
	}
	return f
}
