package compile

import (
	"straum.dev/straum/internal/ban"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/document"
)

// Bans is how addresses are banned.
type Bans struct {
	ban.Settings
	// Kernel says that the kernel is to be told.
	Kernel bool
}

// bans compiles b; nil is off.
func (k *compiler) bans(b *config.Bans, log *config.AccessLog) Bans {
	if b == nil {
		return Bans{}
	}
	out := Bans{Kernel: b.Kernel, Settings: ban.Settings{
		On:        true,
		DryRun:    b.DryRun,
		Threshold: float64(b.Threshold),
		HalfLife:  b.HalfLife.Std(),
		First:     b.First.Std(),
		Longest:   b.Longest.Std(),
		Remember:  b.Remember.Std(),
		Hosts:     b.Widen.Hosts,
		Wide4:     k.lengths(b.Widen.Node.At("v4"), b.Widen.V4),
		Wide6:     k.lengths(b.Widen.Node.At("v6"), b.Widen.V6),
		Consumers: b.Spare.Consumers,
		Window:    b.Spare.Within.Std(),
		Addresses: map[string]ban.Addresses{"masked": ban.Masked, "full": ban.Full, "none": ban.Nameless}[log.Addresses],
	}}
	for signal, points := range map[ban.Signal]int{ban.AuthFailed: b.Signals.AuthFailed, ban.Limited: b.Signals.Limited, ban.NotFound: b.Signals.NotFound,
		ban.Malformed: b.Signals.Malformed, ban.Handshake: b.Signals.Handshake, ban.Suspect: b.Signals.Suspect} {
		out.Scores[signal] = float64(points)
	}
	for _, word := range b.Ladder {
		rung, _ := ban.ParseRung(word) // config takes no other
		out.Ladder = append(out.Ladder, rung)
	}
	for _, n := range b.Never {
		out.Never = append(out.Never, n.Prefix)
	}
	k.cautionTrusted()
	if out.Longest < out.First {
		k.blame(b.Node.At("longest"), "found %s, which is less than first, %s; make longest %s or more", b.Longest, b.First, b.First)
	}
	return out
}

// cautionTrusted looks for listeners that believe everybody, of IPv4 or of IPv6: who is believed is never banned, and may name anybody.
func (k *compiler) cautionTrusted() {
	if k.config == nil {
		return
	}
	for i := range k.config.Listeners {
		l := &k.config.Listeners[i]
		from := []document.Prefix(nil)
		if l.ProxyProtocol != nil {
			from = l.ProxyProtocol.From
		}
		for _, list := range []struct {
			name string
			all  []document.Prefix
		}{{"trusted_proxies", l.TrustedProxies}, {"proxy_protocol.from", from}} {
			for _, n := range list.all {
				if n.Bits() == 0 {
					k.warn(caution{at: l.Node.At(list.name), text: "everybody is believed (" + n.String() + "), so that clients may say what address they have, and bans ban " +
						"nobody, as they never ban who is believed; name the networks of your proxies"})
				}
			}
		}
	}
}

// lengths judges the lengths of wider networks.
func (k *compiler) lengths(at document.Node, list []int) []int {
	for i := 1; i < len(list); i++ {
		if list[i] >= list[i-1] {
			k.blame(at, "found %d after %d; allowed: lengths from long to short, each network wider than the one before", list[i], list[i-1])
			break
		}
	}
	return list
}
