package setting

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

// least is what a limit of descriptors is raised to at least.
const least = 65_536

// judgeFiles is about open files of the whole box.
func judgeFiles(s *Sight) Verdict {
	is, err := s.number("fs.file-max")
	if err != nil {
		return unread(err, "It bounds the files and sockets that are open on the whole box.")
	}
	text := strconv.FormatInt(is, 10)
	if is == 1<<63-1 {
		text = "no bound"
	}
	need := 2 * s.Workload.Descriptors()
	if is >= need {
		return fine(text, fmt.Sprintf("The gateway needs %s descriptors at most, and the rest of the box has as many and more.", wording.Grouped(need/2)))
	}
	return propose(box.Warning, text, strconv.FormatInt(power(need), 10), fmt.Sprintf("The gateway alone may need %s descriptors; once the box has none left, every program fails.", wording.Grouped(need/2)))
}

// judgeOpenCeiling is about the highest limit of descriptors that any process may have.
func judgeOpenCeiling(s *Sight) Verdict {
	is, err := s.number("fs.nr_open")
	if err != nil {
		return unread(err, "It is the highest limit of descriptors that a process may have.")
	}
	need := s.Workload.Descriptors()
	if is >= need {
		return fine(strconv.FormatInt(is, 10), fmt.Sprintf("A process may be allowed more than the %s descriptors that the gateway needs at most.", wording.Grouped(need)))
	}
	return propose(box.Warning, strconv.FormatInt(is, 10), strconv.FormatInt(power(need), 10), fmt.Sprintf("The gateway may need %s descriptors, and no process may have so many.", wording.Grouped(need)))
}

// judgeDescriptors is about the limit of the gateway's unit and of its process.
func judgeDescriptors(s *Sight) Verdict {
	need := s.Workload.Descriptors()
	unit, there := s.unitLimit()
	process := s.processLimit()
	var is []string
	if there && unit > 0 {
		is = append(is, "unit "+strconv.FormatInt(unit, 10))
	}
	if process > 0 {
		is = append(is, "process "+strconv.FormatInt(process, 10))
	}
	shown := strings.Join(is, ", ")
	if there && unit == 0 {
		unit = process // the manager's default, which is what the process has
	}
	short := fmt.Sprintf("The listeners take %s connections, for which up to %s descriptors are needed. Beyond the limit new clients wait in the kernel's queue until others leave.", wording.Grouped(s.Workload.Connections), wording.Grouped(need))
	switch {
	case shown == "":
		is := "no unit straum.service, and no gateway that answers"
		if there {
			is = "the unit straum.service sets none, and no gateway answers that has the system's"
		}
		v := fine(is, fmt.Sprintf("Up to %s descriptors are needed.", wording.Grouped(need)))
		v.Severity, v.Want = box.Unknown, "at least "+strconv.FormatInt(need, 10)
		return v
	case there && unit < need:
		want := max(power(need), least)
		v := propose(box.Warning, shown, strconv.FormatInt(want, 10), short)
		v.File, v.Remedy = UnitDropIn, "then systemctl daemon-reload && systemctl restart straum"
		return v
	case process > 0 && process < need:
		v := fine(shown, short)
		v.Severity, v.Want, v.Remedy = box.Warning, "at least "+strconv.FormatInt(need, 10), "raise the hard limit of what starts the gateway (ulimit -Hn, nofile)"
		if there {
			v.Remedy = "systemctl daemon-reload && systemctl restart straum"
		}
		return v
	}
	return fine(shown, fmt.Sprintf("Up to %s descriptors are needed. The gateway raises its soft limit to the hard one by itself.", wording.Grouped(need)))
}

// processLimit is that of the gateway's process, 0 when none was looked at: what looks is not the gateway.
func (s *Sight) processLimit() int64 {
	v := s.Vitals
	if v == nil || v.Descriptors == nil || v.Process != nil && v.Process.PID == os.Getpid() {
		return 0
	}
	return v.Descriptors.Limit
}

// unitDirs are where systemd looks for units, the first before the others.
var unitDirs = [...]string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// unitLimit is the hard limit that the gateway's unit and its drop-ins set, 0 when they set none, and whether there is such a unit.
func (s *Sight) unitLimit() (limit int64, there bool) {
	drops := map[string]string{} // by name, as the first directory has it
	for _, dir := range unitDirs {
		name := dir + "/straum.service"
		if text, err := s.Machine.Read(name); err == nil && !there {
			there = true
			limit = s.limitIn(text, limit)
		}
		for _, file := range s.confs(name + ".d") {
			base := file[strings.LastIndexByte(file, '/')+1:]
			if _, ok := drops[base]; !ok {
				drops[base] = file
			}
		}
	}
	names := make([]string, 0, len(drops))
	for base := range drops {
		names = append(names, base)
	}
	slices.Sort(names)
	for _, base := range names {
		if text, err := s.Machine.Read(drops[base]); err == nil {
			limit = s.limitIn(text, limit)
		}
	}
	return limit, there
}

// limitIn is the hard limit that the text of a unit sets, or what was before it.
func (s *Sight) limitIn(text string, limit int64) int64 {
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.TrimSpace(name) != "LimitNOFILE" {
			continue
		}
		value = strings.TrimSpace(value)
		if value == "" { // back to the system's
			limit = 0
			continue
		}
		if _, hard, both := strings.Cut(value, ":"); both {
			value = hard
		}
		if value == "infinity" {
			if ceiling, err := s.number("fs.nr_open"); err == nil {
				limit = ceiling
			} else {
				limit = 1 << 20
			}
			continue
		}
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			limit = n
		}
	}
	return limit
}
