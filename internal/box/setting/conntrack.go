package setting

import (
	"fmt"
	"strconv"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

const (
	trackedBytes = 320 // of one entry, about
	trackedChain = 4   // entries to a bucket at most, the kernel's own proportion before 5.15
	trackedDrop  = 10  // column of /proc/net/stat/nf_conntrack: packets dropped as there was no room

	keyTracked = "net.netfilter.nf_conntrack_max"
	keyBuckets = "net.netfilter.nf_conntrack_buckets"

	fileBuckets = "/sys/module/nf_conntrack/parameters/hashsize"
)

// tracked is how many connections the kernel may track, and how many it should.
type tracked struct {
	is, used, want int64
	need           int64
	boot           uint64 // packets dropped since the box started
}

func (s *Sight) tracked() (*tracked, error) {
	t := new(tracked)
	var err error
	if t.is, err = s.number(keyTracked); err != nil {
		return nil, err
	}
	t.used, _ = s.number("net.netfilter.nf_conntrack_count")
	if s.Vitals != nil && s.Vitals.Conntrack != nil {
		t.used = max(t.used, s.Vitals.Conntrack.Used)
	}
	t.boot = s.column("/proc/net/stat/nf_conntrack", trackedDrop, 1)
	// A connection of a client and one to an endpoint, and a quarter for those that end and for other programs.
	sides := int64(1)
	if s.Workload.Endpoints > 0 {
		sides = 2
	}
	t.need = int64(s.Workload.Connections) * sides * 5 / 4
	t.want = t.is
	if t.need > t.is || t.used*10 >= t.is*8 && t.is > 0 {
		t.want = max(t.is, power(max(t.need, 2*t.used)))
		if s.Facts.Memory > 0 { // never more than a sixteenth of the memory
			t.want = max(t.is, min(t.want, s.Facts.Memory/16/trackedBytes))
		}
	}
	return t, nil
}

// judgeTracked is about how many connections the kernel tracks for a firewall or address translation. Beyond it new ones are
// dropped.
func judgeTracked(s *Sight) Verdict {
	t, err := s.tracked()
	if err != nil {
		return untracked(err)
	}
	is := strconv.FormatInt(t.is, 10)
	shown := fmt.Sprintf("%s, %s in use", is, wording.Grouped(t.used))
	if t.is == 0 {
		return fine(shown, "0 is no bound.")
	}
	const what = "packet* dropped for want of room"
	if t.want <= t.is {
		v := fine(shown, fmt.Sprintf("The listeners' connections with those to endpoints need %s.", wording.Grouped(t.need)))
		if t.need > t.is || t.used*10 >= t.is*8 {
			v.Severity, v.Why = box.Warning, fmt.Sprintf("The listeners' connections with those to endpoints need %s, but more would take over a sixteenth of the memory.", wording.Grouped(t.need))
			v.Remedy = "do not track the gateway's connections: notrack in a chain of type filter hook prerouting priority raw; or lower limits.connections"
		}
		return v.worse(0, t.boot, what)
	}
	v := propose(box.Hint, is, strconv.FormatInt(t.want, 10), fmt.Sprintf("The listeners' connections with those to endpoints need %s. Beyond the bound the kernel drops new connections. The table that they are found in (nf_conntrack_buckets) grows with it. Full, it takes about %s.", wording.Grouped(t.need), mib(t.want*trackedBytes)))
	v.Is = shown
	v.Remedy = "or do not track the gateway's connections at all (notrack in nftables' raw priority)"
	switch {
	case t.used >= t.is:
		v.Severity, v.Cost = box.Bad, fmt.Sprintf("the table is full: %s of %s", wording.Grouped(t.used), wording.Grouped(t.is))
	case t.used*10 >= t.is*8:
		v.Severity, v.Cost = box.Warning, fmt.Sprintf("%s of %s in use", wording.Grouped(t.used), wording.Grouped(t.is))
	}
	if t.boot > 0 {
		v = v.worse(0, t.boot, what)
	}
	return v
}

// judgeBuckets is about the table that tracked connections are found in. A higher bound without a larger table makes every packet look
// longer.
func judgeBuckets(s *Sight) Verdict {
	t, err := s.tracked()
	if err != nil {
		return untracked(err)
	}
	v := Verdict{File: box.Sysctl(keyBuckets)}
	is, err := s.number(keyBuckets)
	if err != nil {
		return unread(err, "It is the size of the table in which tracked connections are found.")
	}
	if !s.since(4, 7) { // read-only before; the module's parameter is not
		v.File = fileBuckets
	}
	text := strconv.FormatInt(is, 10)
	if t.want <= trackedChain*is {
		return fine(text, fmt.Sprintf("At most %d tracked connections share a bucket.", (t.want+is-1)/max(is, 1)))
	}
	want := power((t.want + trackedChain - 1) / trackedChain)
	v.Finding = propose(box.Hint, text, "", fmt.Sprintf("With nf_conntrack_max at %s more than %d connections would share a bucket, and every packet would look through them.", wording.Grouped(t.want), trackedChain)).Finding
	v.Set = strconv.FormatInt(want, 10)
	return v
}

// untracked says that the kernel tracks nothing, or that this could not be seen.
func untracked(err error) Verdict {
	v := unread(err, "It bounds the connections that a firewall or address translation tracks.")
	if v.Is == "not there" {
		return fine("not there", "The kernel tracks no connections here, so there is no bound to reach.")
	}
	return v
}
