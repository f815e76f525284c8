package setting

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

// The range that is proposed where the kernel's is too small. It begins above the ports that services commonly listen on; what listens within
// it is reserved. One end is even and one odd, as the kernel would have it.
const (
	portsFrom = 10240
	portsTo   = 65535
)

// portPlan is the range of local ports as it is and as it should be, with what must not be taken from it.
type portPlan struct {
	low, high         int64 // as it is
	wantLow, wantHigh int64 // as it should be; the same when it may stay
	reserved          ports // as it is
	own               ports // that the gateway accepts on, of those in the range as it should be
	others            ports // that endpoints on this box and, in what the range would grow by, other programs accept on
	reservedErr       error
	severity          box.Severity
	why               string
}

// plan judges both settings of local ports, since neither can be without the other.
func (s *Sight) plan() (*portPlan, error) {
	r, err := s.numbers("net.ipv4.ip_local_port_range", 2)
	if err != nil {
		return nil, err
	}
	p := &portPlan{low: r[0], high: r[1], wantLow: r[0], wantHigh: r[1], why: "No endpoint is reached over TCP."}
	text, err := s.text("net.ipv4.ip_local_reserved_ports")
	if err == nil {
		p.reserved, err = readPorts(text)
	}
	p.reservedErr = err
	p.widen(s)
	for _, port := range s.Workload.Ports {
		if p.takes(int64(port)) {
			p.own = append(p.own, port)
		}
	}
	for _, port := range s.Workload.Beside {
		if p.takes(int64(port)) {
			p.others = append(p.others, port)
		}
	}
	if p.wantLow != p.low || p.wantHigh != p.high {
		for _, port := range s.listening() {
			if n := int64(port); p.takes(n) && (n < p.low || n > p.high) {
				p.others = append(p.others, port)
			}
		}
	}
	return p, nil
}

// widen decides whether the range is wide enough.
func (p *portPlan) widen(s *Sight) {
	w := s.Workload
	if w.Endpoints == 0 {
		return
	}
	free := p.high - p.low + 1
	for _, port := range p.reserved {
		if int64(port) >= p.low && int64(port) <= p.high {
			free--
		}
	}
	p.why = fmt.Sprintf("A local port serves one connection to each endpoint. There are %s, and one endpoint gets %s connections at most.", wording.Grouped(free), wording.Grouped(w.PerEndpoint))
	var used int64
	if s.Vitals != nil && s.Vitals.Ports != nil {
		used = s.Vitals.Ports.Used
	}
	switch {
	case p.low <= portsFrom && p.high >= portsTo: // nothing to be gained
		return
	case int64(w.PerEndpoint) > free:
		p.severity = box.Warning
		p.why = fmt.Sprintf("One endpoint may get %s connections, and each takes one of %s local ports. Without one, connecting fails.", wording.Grouped(w.PerEndpoint), wording.Grouped(free))
	case used*10 >= free*8:
		p.severity = box.Hint
		p.why = fmt.Sprintf("Up to %s of %s local ports are held, those in TIME-WAIT among them. Without one, connecting fails.", wording.Grouped(used), wording.Grouped(free))
	default:
		return
	}
	p.wantLow, p.wantHigh = min(p.low, portsFrom), max(p.high, portsTo)
}

// takes says that the range as it should be has the port.
func (p *portPlan) takes(port int64) bool { return port >= p.wantLow && port <= p.wantHigh }

func judgePorts(s *Sight) Verdict {
	p, err := s.plan()
	if err != nil {
		return unread(err, "Local ports of connections to endpoints come from this range.")
	}
	is, want := fmt.Sprintf("%d %d", p.low, p.high), fmt.Sprintf("%d %d", p.wantLow, p.wantHigh)
	switch {
	case is == want && p.low < portsFrom/2:
		v := fine(is, "The range begins among the ports that services accept on (3306, 5432, 6379 and the like): a connection to elsewhere can hold such a port as its local one while its program restarts, which then does not start.")
		v.Severity, v.Want = box.Hint, fmt.Sprintf("%d %d", portsFrom, max(p.high, portsTo))
		v.Remedy = "sysctl -w 'net.ipv4.ip_local_port_range=" + v.Want + "', and in the file that set it; or reserve those ports (net.ipv4.ip_local_reserved_ports)"
		return v
	case is == want:
		return fine(is, p.why)
	}
	return propose(p.severity, is, want, p.why)
}

func judgeReserved(s *Sight) Verdict {
	p, err := s.plan()
	if err == nil {
		err = p.reservedErr
	}
	if err != nil {
		return unread(err, "Ports in this list are never taken for connections to endpoints.")
	}
	is := p.reserved.String()
	if is == "" {
		is = "none"
	}
	all := slices.Concat(p.reserved, p.own, p.others)
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) == len(p.reserved) {
		return fine(is, "No port that the gateway or an endpoint on this box accepts on is taken for connections to elsewhere.")
	}
	severity, why := box.Hint, fmt.Sprintf("Programs on this box accept on ports of the range %d to %d. Reserved, they are not taken for connections to elsewhere while such a program restarts.", p.wantLow, p.wantHigh)
	if lacking := p.own.without(p.reserved); len(lacking) > 0 {
		severity, why = box.Warning, fmt.Sprintf("The gateway accepts on %s, which connections to elsewhere can take as their local port while it restarts: then it does not start. Reserved ports are left alone.", lacking)
	}
	return propose(severity, is, all.String(), why)
}

// listening are the ports that programs on this box accept on. Listening sockets come first in the kernel's tables, so that what
// is read of a long one has them.
func (s *Sight) listening() (all ports) {
	for _, table := range [...]struct{ file, state string }{
		{"/proc/net/tcp", "0A"}, {"/proc/net/tcp6", "0A"}, {"/proc/net/udp", "07"}, {"/proc/net/udp6", "07"},
	} {
		text, err := s.Machine.Read(table.file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(text) {
			words := strings.Fields(line)
			if len(words) < 4 || words[3] != table.state {
				continue
			}
			_, port, _ := strings.Cut(words[1], ":")
			if n, err := strconv.ParseUint(port, 16, 16); err == nil && n != 0 {
				all = append(all, uint16(n))
			}
		}
	}
	return all
}

// ports is a sorted list without doubles, once it was read or written.
type ports []uint16

// readPorts reads the kernel's form: 80,8080-8090.
func readPorts(text string) (all ports, err error) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		low, err1 := strconv.ParseUint(from, 10, 16)
		high, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil || low > high {
			return nil, fmt.Errorf("found %q, which is no list of ports", cut(text))
		}
		for p := low; p <= high; p++ {
			all = append(all, uint16(p))
		}
		if len(all) > 1<<16 { // the kernel names none twice
			return nil, errors.New("found more ports than there are")
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// String writes the kernel's form. The list is sorted.
func (all ports) String() string {
	var b strings.Builder
	for i := 0; i < len(all); {
		j := i
		for j+1 < len(all) && all[j+1] == all[j]+1 {
			j++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(all[i])))
		if j > i {
			b.WriteString("-" + strconv.Itoa(int(all[j])))
		}
		i = j + 1
	}
	return b.String()
}

// without are the ports that the other list lacks.
func (all ports) without(other ports) (rest ports) {
	for _, p := range all {
		if !slices.Contains(other, p) {
			rest = append(rest, p)
		}
	}
	return rest
}
