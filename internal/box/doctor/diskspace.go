package doctor

import (
	"context"
	"errors"
	"fmt"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

// From when on a volume has little room.
const (
	roomWarning, roomBad   = 0.08, 0.02
	leastWarning, leastBad = 1 << 30, 128 << 20 // bytes
	plenty                 = 4 << 30            // bytes that are enough, however small a part of the volume they are
)

// lookSpace tells of volumes that are nearly full.
func lookSpace(_ context.Context, p *Patient) (found []box.Finding) {
	for _, v := range volumes(p.Config) {
		s, at, err := room(p, v)
		if err != nil {
			found = append(found, of(v, unknown(cause(err), "", "")))
			continue
		}
		found = append(found, of(v, spaceOf(v, at, s)))
	}
	return found
}

// room asks the volume, or takes what vitals saw of it.
func room(p *Patient, v volume) (s Space, at string, err error) {
	if p.Probes.Space != nil {
		at = p.nearest(v.path)
		s, err = p.Probes.Space(at)
		if err != nil {
			err = fmt.Errorf("%s cannot be asked: %w", at, err)
		}
		return s, at, err
	}
	if p.Vitals != nil {
		for _, d := range p.Vitals.Disks {
			if d.Volume == v.name && d.Size > 0 {
				return Space{Free: d.Free, Size: d.Size}, v.path, nil
			}
		}
	}
	return s, v.path, errors.New("volumes of another box cannot be asked")
}

func spaceOf(v volume, at string, s Space) box.Finding {
	part := float64(s.Free) / float64(max(s.Size, 1))
	f := box.Finding{
		Severity: box.Good,
		Is:       fmt.Sprintf("%s: %s of %s free (%s)", place(v, at), size(s.Free), size(s.Size), percent(part)),
		Why:      "On a full disk the gateway goes on serving, but drops log lines, stores nothing new and cannot keep a renewed certificate.",
	}
	f.Want = f.Is
	inodes := 1.0 // btrfs and the like have no fixed number and say 0
	if s.Inodes > 0 {
		inodes = float64(s.FreeInodes) / float64(s.Inodes)
	}
	switch {
	case part < roomBad && s.Free < leastWarning || s.Free < leastBad && part < roomWarning:
		f.Severity, f.Want = box.Bad, "at least "+percent(roomWarning)+" free"
	case inodes < roomBad:
		f.Severity, f.Want = box.Bad, "at least "+percent(roomWarning)+" of the inodes free"
		f.Is += fmt.Sprintf(", %s of %s inodes", wording.Grouped(s.FreeInodes), wording.Grouped(s.Inodes))
	case part < roomWarning && s.Free < plenty || s.Free < leastWarning && part < 0.2:
		f.Severity, f.Want = box.Warning, "at least "+percent(roomWarning)+" or "+size(plenty)+" free"
	case inodes < roomWarning:
		f.Severity, f.Want = box.Warning, "at least "+percent(roomWarning)+" of the inodes free"
		f.Is += fmt.Sprintf(", %s of %s inodes", wording.Grouped(s.FreeInodes), wording.Grouped(s.Inodes))
	case v.size > s.Size:
		f.Severity, f.Want = box.Warning, "cache.disk.size smaller than its volume"
		f.Is += fmt.Sprintf("; cache.disk.size is %s", size(v.size))
		f.Why = "The cache fills the disk before it has what it may have, and then nobody can write. " + f.Why
		f.Remedy = "lower cache.disk.size"
	}
	if f.Severity != box.Good && f.Remedy == "" {
		f.Remedy = "see what takes it (df -h, then du -xh --max-depth=2 on its mount | sort -h | tail); lower cache.disk.size if it is the cache, rotate logs, or enlarge the volume"
	}
	return f
}
