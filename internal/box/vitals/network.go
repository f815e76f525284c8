package vitals

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// Card is a network interface with its counters.
type Card struct {
	Name                    string
	Received, Sent, Dropped uint64  // bytes, bytes, packets
	Ceiling                 float64 // bytes a second in one direction; 0 is unknown
}

// maxCards is how many interfaces are told.
const maxCards = 16

// network reads what concerns the network.
func (s *Source) network(out *Sample) {
	out.Stack = s.stack(out)
	if s.proc == nil {
		return
	}
	if s.count != nil {
		used, ok := s.single(s.count)
		most, ok2 := s.single(s.most)
		if ok && ok2 {
			out.Conntrack = &Use{Used: used, Limit: most}
		}
	}
	var inUse, timeWait int
	if v4, err := s.proc.NetSockstat(); err == nil {
		for _, p := range v4.Protocols {
			if p.Protocol == "TCP" {
				inUse = p.InUse
				if p.TW != nil {
					timeWait = *p.TW
				}
			}
		}
		if v6, err := s.proc.NetSockstat6(); err == nil { // TIME-WAIT ones of both are among the first
			for _, p := range v6.Protocols {
				if p.Protocol == "TCP6" {
					inUse += p.InUse
				}
			}
		}
		if out.Stack != nil {
			out.Stack.TimeWait = timeWait
		}
		if n := [2]uint64{}; numbers(s.read(s.ports), n[:]) == 2 && n[0] <= n[1] && n[1] < 1<<16 {
			all := int64(n[1] - n[0] + 1)
			out.Ports = &Use{Used: min(int64(inUse+timeWait), all), Limit: all}
		}
	}
	out.Cards = s.readCards()
}

// stack reads the counters of TCP and of the queues below it. Nil is that none could be read.
func (s *Source) stack(out *Sample) *Stack {
	c := &Stack{}
	know := func(p Part, known bool) (unknown int) {
		if known {
			return 0
		}
		out.unknown = append(out.unknown, p)
		return 1
	}
	unknown := know(Segments, s.pairs(s.snmp, "Tcp:", map[string]*uint64{"OutSegs": &c.Sent, "RetransSegs": &c.Retransmitted}))
	unknown += know(Listening, s.pairs(s.netstat, "TcpExt:", map[string]*uint64{"ListenOverflows": &c.ListenOverflows, "ListenDrops": &c.ListenDrops, "SyncookiesSent": &c.SYNCookies}))
	var soft []procfs.SoftnetStat
	if s.proc != nil {
		soft, _ = s.proc.NetSoftnetStat()
	}
	for _, cpu := range soft {
		c.SoftnetDropped += uint64(cpu.Dropped)
		c.SoftnetSqueezed += uint64(cpu.TimeSqueezed)
	}
	if unknown += know(Softnet, len(soft) > 0); unknown == 3 {
		return nil
	}
	return c
}

// pairs reads a file of line pairs: names after a prefix, then as many numbers after the same. It says whether the prefix was there.
func (s *Source) pairs(f *file, prefix string, wanted map[string]*uint64) bool {
	var names []byte
	for line := range lines(s.read(f)) {
		rest, ok := bytes.CutPrefix(line, []byte(prefix))
		if !ok {
			continue
		}
		if names == nil {
			names = rest
			continue
		}
		for left := len(wanted); left > 0 && len(names) > 0; {
			var name, value []byte
			name, names = word(names)
			value, rest = word(rest)
			if into := wanted[string(name)]; into != nil {
				*into, _ = number(value)
				left--
			}
		}
		return true
	}
	return false
}

// card is an interface that is told, with what is known of it.
type card struct {
	name    string
	state   *file
	up      bool
	ceiling float64
}

// readCards reads the counters of the interfaces that are told and up.
func (s *Source) readCards() []Card {
	changed, n := false, 0
	var all []Card
	for line := range lines(s.read(s.dev)) {
		// face: received bytes packets errs drop fifo frame compressed multicast; sent bytes packets errs drop ...
		name, rest, ok := bytes.Cut(line, []byte(":"))
		var c [12]uint64
		if !ok || numbers(rest, c[:]) < len(c) {
			continue
		}
		name = bytes.TrimSpace(name)
		changed = changed || n >= len(s.names) || s.names[n] != string(name)
		n++
		all = append(all, Card{Name: string(name), Received: c[0], Sent: c[8], Dropped: c[3] + c[11]})
	}
	if changed || n != len(s.names) {
		s.chooseCards(all)
	}
	out := make([]Card, 0, len(s.cards))
	for _, c := range s.cards {
		was := c.up
		state := string(bytes.TrimSpace(s.read(c.state)))
		// Drivers that do not know say unknown: those of tunnels and of some guests.
		if c.up = state == "up" || state == "unknown"; !c.up {
			continue
		}
		if !was {
			c.ceiling = s.ceiling(c.name) // asking takes a lock of the whole network stack
		}
		for _, x := range all {
			if x.Name == c.name {
				x.Ceiling = c.ceiling
				out = append(out, x)
			}
		}
	}
	return out
}

// chooseCards decides which interfaces are told, of all there are.
func (s *Source) chooseCards(all []Card) {
	for _, c := range s.cards {
		c.state.close()
	}
	s.names, s.cards = nil, nil
	for _, c := range all {
		s.names = append(s.names, c.Name)
	}
	names := s.names
	has := func(name, what string) bool {
		_, err := os.Stat(s.machine.Path("/sys/class/net/" + name + "/" + what))
		return err == nil
	}
	hardware := slices.ContainsFunc(names, func(name string) bool { return has(name, "device") })
	for _, name := range names {
		const loopback = "772" // ARPHRD_LOOPBACK
		if kind, err := s.machine.Read("/sys/class/net/" + name + "/type"); err != nil || kind == loopback {
			continue
		}
		if hardware && !has(name, "device") || !hardware && (has(name, "master") || has(name, "bridge")) || len(s.cards) == maxCards {
			continue
		}
		if state := s.openIf("/sys/class/net/" + name + "/operstate"); state != nil {
			s.cards = append(s.cards, &card{name: name, state: state})
		}
	}
}

// ceiling is what a card can carry, in bytes a second. Those that are none make it up: the ends of containers always say 10 Gbit/s.
func (s *Source) ceiling(name string) float64 {
	at := "/sys/class/net/" + name
	if _, err := os.Stat(s.machine.Path(at + "/device")); err != nil {
		return 0
	}
	text, err := s.machine.Read(at + "/speed")
	if err != nil {
		return 0
	}
	megabits, err := strconv.Atoi(strings.TrimSpace(text))
	const most = 10_000_000 // what drivers write who know nothing is 2^32-1 or -1
	if err != nil || megabits <= 0 || megabits > most {
		return 0
	}
	return float64(megabits) * 1e6 / 8
}
