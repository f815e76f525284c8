package doctor

import (
	"context"
	"strings"

	"straum.dev/straum/internal/box"
)

// lookDumps tells whether memory, with the keys in it, may come to lie on a disk after a crash.
func lookDumps(_ context.Context, p *Patient) []box.Finding {
	why := "A dump holds all that was in memory: keys of certificates, tokens, requests."
	dumpable, err := p.Machine.Read("/proc/sys/fs/suid_dumpable")
	pattern, err2 := p.Machine.Read("/proc/sys/kernel/core_pattern")
	switch {
	case err != nil && err2 != nil:
		return one(unknown(unread("/proc/sys/kernel/core_pattern", err2), why, ""))
	case dumpable == "1":
		return one(box.Finding{Severity: box.Warning, Is: "fs.suid_dumpable is 1: programs that changed their rights are dumped as well, readable for whoever started them", Want: "0",
			Why: why + " This value is for debugging alone (proc(5)).", Remedy: "sysctl -w fs.suid_dumpable=0, and look for it in /etc/sysctl.d"})
	}
	limit, known := coreLimit(p)
	is := "dumps go to " + destination(pattern)
	piped := strings.HasPrefix(pattern, "|")
	switch {
	case pattern == "":
		return one(good("the kernel writes none", why))
	case discards(pattern):
		return one(good("dumps are thrown away ("+pattern+")", why))
	case known && limit == "0" && (!piped || strings.Contains(pattern, "systemd-coredump")): // the kernel asks a program whatever the limit; this one minds it
		return one(good("the gateway's are off (LimitCORE=0)", why))
	case !known && !piped: // what the limit is differs from one distribution's systemd to the next
		return one(unknown(is+", where the gateway's limit allows any; its process could not be looked at", why, "LimitCORE=0 in the gateway's unit, to be sure"))
	}
	return one(box.Finding{Severity: box.Hint, Is: is, Want: "no dumps of the gateway", Why: why + " A gateway that crashes tells what for in its log.",
		Remedy: "CoredumpFilter=0 in the gateway's unit leaves the memory out of them; LimitCORE=0 turns them off where they go to a file or to systemd-coredump"})
}

// discards says that core_pattern sends dumps to a program that keeps none, as systemd has it where nothing else is installed.
func discards(pattern string) bool {
	program, _, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(pattern, "|")), " ")
	return strings.HasPrefix(pattern, "|") && (program == "/bin/false" || program == "/usr/bin/false" || program == "/bin/true" || program == "/usr/bin/true")
}

// destination is where core_pattern sends dumps, without the arguments it gives.
func destination(pattern string) string {
	if program, ok := strings.CutPrefix(pattern, "|"); ok {
		program, _, _ = strings.Cut(strings.TrimSpace(program), " ")
		return "the program " + cut(program, 100)
	}
	return "files named " + cut(pattern, 100)
}

// coreLimit is the soft limit on dumps of the gateway that runs. Ours is that of whoever runs doctor, and says nothing.
func coreLimit(p *Patient) (string, bool) {
	if p.Running == nil {
		return "", false
	}
	text, err := p.Machine.Read(p.process() + "/limits")
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				return f[0], true
			}
		}
	}
	return "", false
}
