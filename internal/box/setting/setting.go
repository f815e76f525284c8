// Package setting judges what the kernel is set to, key by key: what it is, what it should be for this workload on this box and why, and
// what it costs now. Each setting is a rule; a file holds one, or those that can only be judged together.
//
// It serves no step of a request. It refuses to change anything (tune does), to propose a value that is worse than what is set, and to repeat
// advice that was wrong or has become so: see docs/tuning.md.
package setting

import (
	"errors"
	"strings"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/vitals"
)

// Sight is all a rule looks at.
type Sight struct {
	Machine  *box.Machine
	Facts    *box.Facts
	Workload *Workload
	Vitals   *vitals.Vitals // nil when none were taken; rules count since the box started then
}

// Rule is one setting.
type Rule struct {
	Key   string // of sysctl, or "thp" and the like for what is set elsewhere; the finding's ID
	Judge func(*Sight) Verdict
}

// Verdict is what a rule says. Set is the value to write, empty when nothing should be: then what is stays.
type Verdict struct {
	box.Finding
	Set  string
	File string // to write Set to, as seen on the box: /proc/sys/... or /sys/...; or UnitDropIn
}

// UnitDropIn is where directives of the gateway's unit are written; the rule's key is the directive.
const UnitDropIn = "/etc/systemd/system/straum.service.d/60-straum.conf"

// apply is the remedy of all that tune can do.
const apply = "sudo straum tune --apply"

// rule makes the rule of a key. What judge leaves out is filled in: the finding's ID, the file of a key of sysctl, what should be when what
// is may stay, and the remedy, which is the box's reason where this guest may not set the key.
func rule(key string, judge func(*Sight) Verdict) Rule {
	return Rule{Key: key, Judge: func(s *Sight) Verdict {
		v := judge(s)
		v.ID = key
		if v.Set == "" {
			v.File = ""
			if v.Want == "" {
				v.Want = v.Is
			}
			return v
		}
		if v.Want == "" {
			v.Want = v.Set
		}
		if v.File == "" {
			v.File = box.Sysctl(key)
		}
		v.Remedy = remedy(s.Machine, key, v)
		return v
	}}
}

// remedy says how to have a value set, and what has to follow.
func remedy(m *box.Machine, key string, v Verdict) string {
	if err := Forbidden(m, key, v.File); err != nil && !RootMay(err) {
		return "straum tune cannot set it from here: " + err.Error()
	}
	if v.Remedy != "" {
		return apply + "; " + v.Remedy
	}
	return apply
}

// Forbidden says why this guest may not write the value of a key to its file; nil is that it may, as far as can be seen. What the gateway's
// unit says is root's to decide, in any guest.
func Forbidden(m *box.Machine, key, file string) error {
	switch {
	case strings.HasPrefix(file, "/proc/sys/"):
		return m.Forbidden(key)
	case strings.HasPrefix(file, "/sys/"):
		return m.ForbiddenFile(file)
	}
	return nil
}

// RootMay says that what is forbidden is so because of who asks.
func RootMay(err error) bool { return errors.Is(err, box.ErrRights) }
