package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"straum.dev/straum/internal/box"
)

// From when on a disk is slow: the median of what it takes until it has kept 4 KiB, and the longest write that did not ask for that.
const (
	syncHint, syncWarning = 15 * time.Millisecond, 75 * time.Millisecond
	writeWarning          = 100 * time.Millisecond
	// tooQuick is what no disk can do: whoever answers sooner has not kept it.
	tooQuick = 8 * time.Microsecond
)

// lookLatency measures each volume once. Those on one directory are measured one after the other, all within ctx.
func lookLatency(ctx context.Context, p *Patient) (found []box.Finding) {
	done := map[string]box.Finding{}
	for _, v := range volumes(p.Config) {
		if p.Probes.Write == nil {
			found = append(found, of(v, unknown("disks of another box cannot be measured", "", "")))
			continue
		}
		at := p.nearest(v.path)
		f, ok := done[at]
		if !ok {
			f = latencyOf(ctx, p, v, at)
			done[at] = f
		}
		found = append(found, of(v, f))
	}
	return found
}

func latencyOf(ctx context.Context, p *Patient, v volume, at string) box.Finding {
	why := "Requests wait for no disk. But log lines are dropped once the disk falls behind by log.access.buffer, what is stored is read from it, and state is kept with fsync."
	w, err := p.Probes.Write(ctx, at)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return unknown("this user may not write to "+at, why, "run it as the gateway's user or as root: sudo straum doctor --only disk_latency")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unknown("there was no time to measure "+at, why, "straum doctor --only disk_latency")
	case err != nil:
		return box.Finding{Severity: box.Bad, Is: "a file of 64 KiB cannot be written to " + at + ": " + cause(err), Want: "it can", Why: why, Remedy: "see disk_space and dmesg"}
	}
	f := box.Finding{
		Severity: box.Good,
		Is: fmt.Sprintf("%s: 4 KiB are kept (fsync) in %s, at most %s; written in %s, at most %s (%d rounds)",
			at, short(w.Sync), short(w.LongSync), short(w.Write), short(w.LongWrite), w.Rounds),
		Want: "fsync below " + short(syncHint) + ", no write above " + short(writeWarning),
		Why:  likeA(w.Sync) + " " + why,
	}
	remedy := "if it stays so: iostat -x 1 tells whether this box or its neighbours load the disk; take a plan with a local NVMe, or move " + key(v)
	switch {
	case w.Sync > syncWarning || w.LongWrite > writeWarning:
		f.Severity, f.Remedy = box.Warning, remedy
	case w.Sync > syncHint:
		f.Severity, f.Remedy = box.Hint, remedy
	case w.Sync < tooQuick:
		f.Why = "It answers sooner than any disk can: it lies in memory, or whoever is below does not wait for the disk. What was kept last may be gone after a power cut. " + why
		f.Want = f.Is
		return f
	default:
		f.Want = f.Is
		return f
	}
	if d := deviceOf(p, v); d != "" {
		f.Cost = d
	}
	return f
}

// likeA says what kind of disk takes so long; whether it says that it is one is not asked, since disks of guests say anything.
func likeA(sync time.Duration) string {
	switch {
	case sync < 400*time.Microsecond:
		return "This is as quick as an NVMe disk, or one whose cache survives a power cut."
	case sync < 5*time.Millisecond:
		return "This is as quick as a solid-state disk, local or near."
	case sync < 40*time.Millisecond:
		return "This is as slow as a turning disk, or one far away or held back by the provider."
	}
	return "This is slower than a turning disk that has nothing else to do."
}

// deviceOf is what vitals saw of a volume's disk.
func deviceOf(p *Patient, v volume) string {
	if p.Vitals == nil {
		return ""
	}
	for _, d := range p.Vitals.Disks {
		if d.Volume == v.name && d.Device != "" {
			return fmt.Sprintf("%s was busy %s of the window; a write took %s on average", d.Device, percent(d.Busy), short(d.Write))
		}
	}
	return ""
}
