package doctor

import (
	"context"
	"slices"
	"strings"

	"straum.dev/straum/internal/box"
)

// instructions are what makes AES-GCM cheap, by architecture, as /proc/cpuinfo calls them.
var instructions = map[string][]string{"amd64": {"aes", "pclmulqdq"}, "arm64": {"aes", "pmull"}}

// lookAES tells whether the processors encrypt by themselves.
func lookAES(_ context.Context, p *Patient) []box.Finding {
	names, ok := instructions[p.Facts.Arch]
	if !ok {
		return one(unknown("it is not known what this processor encrypts with", p.notKnown("cpu"), ""))
	}
	if len(p.Facts.Flags) == 0 {
		return one(unknown("what this processor can do is not known", p.notKnown("cpu"), ""))
	}
	var lacks []string
	for _, name := range names {
		if !slices.Contains(p.Facts.Flags, name) {
			lacks = append(lacks, name)
		}
	}
	speed := ""
	if p.Probes.Seal != nil {
		speed = "one core encrypts " + size(int64(p.Probes.Seal())) + " a second with AES-128-GCM, measured"
	}
	if len(lacks) == 0 {
		return one(good(strings.TrimSuffix(strings.Join(names, " and ")+"; "+speed, "; "), "Every byte of TLS is encrypted; with these instructions that takes little."))
	}
	f := box.Finding{
		Severity: box.Hint,
		Is:       "one without " + strings.Join(lacks, " and "), Want: "a processor with " + strings.Join(names, " and "),
		Why:    "Every byte of TLS is encrypted. Without these instructions that takes several times the processor's time; clients that can are given ChaCha20 instead, which needs none of them.",
		Cost:   speed,
		Remedy: "nothing within this guest: have the provider show the guest its real processor (CPU type host or better), or take another plan",
	}
	if speaksTLS(p) {
		f.Severity = box.Warning
	}
	return one(f)
}

// speaksTLS says whether a listener or an upstream of the configuration does.
func speaksTLS(p *Patient) bool {
	if p.Config == nil {
		return false
	}
	for i := range p.Config.Listeners {
		if p.Config.Listeners[i].TLS != nil {
			return true
		}
	}
	for i := range p.Config.Upstreams {
		u := &p.Config.Upstreams[i]
		if u.TLS != nil {
			return true
		}
		for j := range u.Endpoints {
			if u.Endpoints[j].Address.Scheme == "https" {
				return true
			}
		}
	}
	return false
}
