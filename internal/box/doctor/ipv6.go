package doctor

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"straum.dev/straum/internal/box"
)

// lookIPv6 compares what the configuration listens on with the addresses the box has.
func lookIPv6(_ context.Context, p *Patient) []box.Finding {
	global, known, err := globalIPv6(p.Machine)
	if err != nil {
		return one(unknown(unread("/proc/net/if_inet6", err), "", ""))
	}
	if _, err := p.Machine.Read("/proc/net/dev"); err != nil {
		return one(unknown("the network cannot be seen: "+unread("/proc/net/dev", err), "", ""))
	}
	is := "the box has a public IPv6 address"
	switch {
	case !known:
		is = "the kernel speaks no IPv6"
	case !global:
		is = "the box has no public IPv6 address"
	}
	v4, v6, listens6 := families(p)
	why := "Clients that have both prefer IPv6 (RFC 6724, RFC 8305), mobile ones more and more have it alone; names of this box with AAAA records must be answered there too."
	switch {
	case !known && v6 != "":
		return one(box.Finding{Severity: box.Bad, Is: is + ", and the configuration names " + v6, Want: "IPv6, or no such address",
			Why: "The gateway cannot listen there or connect there.", Remedy: "remove ipv6.disable=1 from the kernel's command line, or the address from the configuration"})
	case global && v4 != "" && !listens6:
		return one(box.Finding{Severity: box.Hint, Is: is + ", and the configuration listens on IPv4 alone (" + v4 + ")", Want: "a listener on IPv6 too",
			Why: why, Remedy: "write the address as \":" + v4[strings.LastIndexByte(v4, ':')+1:] + "\", which is both; or see that no AAAA record names this box"})
	case known && !global && (v6 != "" || listens6):
		return one(good(is, why+" See that no AAAA record names this box."))
	}
	return one(good(is, why))
}

// globalIPv6 says whether an interface has an address that the Internet could reach, by /proc/net/if_inet6 (address, index, length, scope, flags, name);
// known is false when the kernel has no IPv6.
func globalIPv6(m *box.Machine) (global, known bool, err error) {
	text, err := m.Read("/proc/net/if_inet6")
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		// Scope 00 is global; fc and fd begin addresses that are local all the same (RFC 4193).
		if len(f) == 6 && f[3] == "00" && !strings.HasPrefix(f[0], "fc") && !strings.HasPrefix(f[0], "fd") {
			global = true
		}
	}
	return global, true, nil
}

// families are the first public address the configuration listens on by IPv4 alone, the first of IPv6 it names at all, and whether a listener is
// on IPv6.
func families(p *Patient) (v4, v6 string, listens6 bool) {
	if p.Config == nil {
		return "", "", false
	}
	for i := range p.Config.Listeners {
		a := p.Config.Listeners[i].Address.String()
		ip, isIP := p.Config.Listeners[i].Address.IP()
		switch {
		case strings.HasPrefix(a, "unix:"), strings.HasPrefix(a, "localhost:"), isIP && ip.Is4() && (ip.IsLoopback() || ip.IsPrivate()):
		case strings.HasPrefix(a, ":"):
			listens6 = true
		case strings.HasPrefix(a, "["):
			listens6 = listens6 || isIP && !ip.IsLoopback()
			if v6 == "" {
				v6 = a
			}
		case v4 == "":
			v4 = a
		}
	}
	for i := range p.Config.Upstreams {
		for j := range p.Config.Upstreams[i].Endpoints {
			if a := p.Config.Upstreams[i].Endpoints[j].Address; v6 == "" && strings.HasPrefix(a.Address.String(), "[") {
				v6 = a.String()
			}
		}
	}
	return v4, v6, listens6
}
