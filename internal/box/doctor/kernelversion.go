package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"straum.dev/straum/internal/box"
)

// brings are versions of Linux with what they brought that a gateway gains from.
var brings = []struct {
	major, minor int
	what         string
}{
	{4, 13, "BBR without the qdisc fq"},
	{4, 19, "reuse of ports in TIME-WAIT on loopback by default (tcp_tw_reuse=2)"},
	{4, 20, "pressure numbers (PSI)"},
	{5, 4, "queues of 4,096 connections by default (somaxconn)"},
	{5, 13, "Landlock, by which the gateway locks itself in"},
}

// ended are the kernel's own long-term lines with the last month its maintainers mend them (kernel.org, as of November 2026): ended, or about
// to. Later ones are left out, since such dates have been moved. Distributions mend some of them longer.
var ended = []struct {
	major, minor int
	month        string
}{{4, 4, "2022-02"}, {4, 9, "2023-01"}, {4, 14, "2024-01"}, {4, 19, "2024-12"}, {5, 4, "2025-12"}, {5, 10, "2026-12"}, {5, 15, "2026-12"}}

// lookVersion tells what the kernel lacks, and whether anybody still mends it.
func lookVersion(_ context.Context, p *Patient) []box.Finding {
	v := p.Facts.Kernel
	if v.Major == 0 {
		return one(unknown("the kernel's version cannot be read", "", "uname -r"))
	}
	var lacks []string
	for _, b := range brings {
		if !v.AtLeast(b.major, b.minor) {
			lacks = append(lacks, fmt.Sprintf("%s (%d.%d)", b.what, b.major, b.minor))
		}
	}
	over := ""
	for _, e := range ended {
		if month, err := time.Parse("2006-01", e.month); err == nil && v.Major == e.major && v.Minor == e.minor && p.Now.After(month.AddDate(0, 1, 0)) {
			over = e.month
		}
	}
	f := box.Finding{Severity: box.Good, Is: "Linux " + v.Text, Why: "Holes are mended, and what a gateway gains from is there, only in kernels that are kept."}
	f.Want = f.Is
	if over == "" && len(lacks) == 0 {
		return one(f)
	}
	f.Severity, f.Want = box.Hint, "one that is mended, 5.13 or later"
	if !v.AtLeast(4, 18) { // 4.18 is that of RHEL 8, which is mended
		f.Severity = box.Warning
	}
	if over != "" {
		f.Is += fmt.Sprintf("; kernel.org mends %d.%d no more since %s", v.Major, v.Minor, over)
		f.Why = "Unless the distribution mends this kernel by itself, known holes stay open."
	}
	if len(lacks) > 0 {
		f.Why += " It lacks: " + strings.Join(lacks, "; ") + "."
	}
	f.Remedy = "upgrade the distribution, or install its newer kernel (Debian: linux-image-amd64 from backports)"
	if p.Facts.Guest.Container != "" {
		f.Remedy = "nothing within this container: the kernel is that of the machine around it"
	}
	return one(f)
}
