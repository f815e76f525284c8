package setting

import (
	"errors"
	"strconv"
	"strings"

	"straum.dev/straum/internal/box"
)

// judgeSwappiness is about what the kernel gives up first when memory gets short: what was read from files, or what programs made.
func judgeSwappiness(s *Sight) Verdict {
	is, err := s.number("vm.swappiness")
	if err != nil {
		return unread(err, "It weighs swapping against dropping what was read from files.")
	}
	text := strconv.FormatInt(is, 10)
	switch {
	case s.Facts.Swap == 0:
		return fine(text, "There is no swap space that is known of, so it decides nothing.")
	case is == 0:
		v := fine(text, "0 does not switch swapping off. It puts it off until files have nothing left to give, so that the box stalls, and then kills, while there is swap space.")
		v.Severity, v.Want, v.Remedy = box.Hint, "1 to 60", "sysctl -w vm.swappiness=10, if swapping should be rare"
		return v
	case is > 100:
		v := fine(text, "Beyond 100 swapping counts as cheaper than reading files, which is so for compressed memory (zram) and for no disk.")
		v.Severity, v.Want, v.Remedy = box.Hint, "60 or less, unless swap space is zram", "sysctl -w vm.swappiness=60"
		return v
	}
	return fine(text, "The gateway's memory is in use and is not what the kernel swaps first. Left as it is.")
}

// judgeOvercommit is about whether the kernel promises more memory than there is.
func judgeOvercommit(s *Sight) Verdict {
	is, err := s.number("vm.overcommit_memory")
	if err != nil {
		return unread(err, "It decides whether memory can be promised that is not there.")
	}
	text := strconv.FormatInt(is, 10)
	switch is {
	case 2:
		v := fine(text, "The kernel counts what is promised, not what is used, and refuses beyond a bound. A process that is refused memory ends, with memory left on the box.")
		v.Severity, v.Want, v.Remedy = box.Hint, "0", "sysctl -w vm.overcommit_memory=0, unless somebody has reckoned it up for all programs of this box"
		return v
	case 1:
		return fine(text, "Nothing that is asked for is refused, which Redis needs to save its data. The gateway keeps below its memory limit by itself.")
	}
	return fine(text, "Only requests beyond all reason are refused. The gateway keeps below its memory limit by itself.")
}

const fileHugePages = "/sys/kernel/mm/transparent_hugepage/enabled"

var errNoChoice = errors.New("no choice is marked")

// judgeHugePages is about memory in pages of 2 MiB. Go 1.21.1 and later leave the choice to the kernel, which with "always" makes whole ones of
// nearly empty ones (khugepaged, max_ptes_none).
func judgeHugePages(s *Sight) Verdict {
	all, err := s.Machine.Read(fileHugePages)
	if err != nil {
		return unread(err, "Transparent huge pages can make the memory of a process grow.")
	}
	is := all
	if _, after, ok := strings.Cut(all, "["); ok {
		is, _, _ = strings.Cut(after, "]")
	}
	switch is {
	case "madvise":
		return fine(is, "Huge pages are for programs that ask for them.")
	case "never":
		return fine(is, "There are no huge pages. Programs that ask for them are a little slower; the gateway does not.")
	case "always":
	default:
		v := unread(errNoChoice, "Transparent huge pages can make the memory of a process grow.")
		v.Is = "found " + strconv.Quote(cut(all))
		return v
	}
	none, err := s.Machine.Read("/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none")
	if err == nil && none == "0" {
		return fine(is, "Huge pages are made of full ones only (max_ptes_none is 0), so memory does not grow by them.")
	}
	v := propose(box.Hint, is, "madvise", "With always the kernel makes pages of 2 MiB even where a few KiB are in use, so the gateway's memory may grow beyond what it counts. With madvise programs that gain by huge pages ask for them.")
	v.File = fileHugePages
	return v
}
