package resolve

import (
	"fmt"
	"net/netip"
	"slices"
)

// MaxAddresses is how many addresses one name may stand for; of more, the first in order are used, which are the same ones
// at every look-up.
const MaxAddresses = 256

// The families, in the order of netip.Addr.Compare.
const (
	ip4 = iota
	ip6
	families
)

var networks = [families]string{"ip4", "ip6"}

// found is what looking up one family brought: addresses, or an error.
type found struct {
	addresses []netip.Addr
	err       error
}

// kept is what a name stands for, family by family; each sorted, without repetition.
type kept [families][]netip.Addr

// settle decides what a name stands for after a look-up. Per family:
//
//   - addresses replace what was kept;
//   - an error keeps it;
//   - "not found" keeps it as well, unless the other family has addresses: then the name exists, and this family is gone.
//
// answered tells whether either family brought addresses; err is what is worth telling, answered or not.
func settle(last kept, got [families]found) (now kept, answered bool, err error) {
	var usable kept
	for f := range got {
		var junk bool
		if got[f].err != nil {
			continue
		}
		if usable[f], junk = canonical(got[f].addresses, f); len(usable[f]) > 0 {
			answered = true
		} else if junk {
			got[f].err = errUnusable
		} else {
			got[f].err = errNotFound
		}
	}
	now = last
	for f := range got {
		switch {
		case len(usable[f]) > 0:
			now[f] = usable[f]
		case kindOf(got[f].err) == notFound && answered:
			now[f], got[f].err = nil, nil
		}
	}
	err = both(got[ip4].err, got[ip6].err)
	if n := len(now[ip4]) + len(now[ip6]); n > MaxAddresses && err == nil {
		err = &tooMany{n}
	}
	return now, answered, err
}

// both joins the errors of the families into one line, which is short when they fail in the same way.
func both(err4, err6 error) error {
	switch {
	case err4 == nil && err6 == nil:
		return nil
	case err4 == nil:
		return fmt.Errorf("ip6: %w", err6)
	case err6 == nil:
		return fmt.Errorf("ip4: %w", err4)
	case kindOf(err4) == kindOf(err6):
		return err4
	case kindOf(err4) == notFound: // says nothing about the name while the other family is in doubt
		return err6
	case kindOf(err6) == notFound:
		return err4
	}
	return fmt.Errorf("ip4: %w; ip6: %w", err4, err6)
}

// set is the sorted set of all that is kept, at most MaxAddresses. The caller owns it.
func (k kept) set() []netip.Addr {
	all := slices.Concat(k[ip4], k[ip6])
	return slices.Clip(all[:min(len(all), MaxAddresses)])
}

// canonical sorts the addresses of a family, without repetitions, IPv4 addresses unmapped, and without what nobody can connect to:
// multicast, broadcast and unspecified addresses. (Filters answer 0.0.0.0, and connecting to it would reach the box
// itself.) junk tells whether there were any of those.
func canonical(addresses []netip.Addr, family int) (set []netip.Addr, junk bool) {
	for _, a := range addresses {
		a = a.Unmap()
		if !a.IsValid() || a.Is4() != (family == ip4) {
			continue // not what was asked for
		}
		if a.IsUnspecified() || a.IsMulticast() || a == broadcast {
			junk = true
			continue
		}
		set = append(set, a)
	}
	slices.SortFunc(set, netip.Addr.Compare)
	return slices.Compact(set), junk
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// Diff tells what came and what went between two sorted sets, such as two that onChange was given in turn. Both results are
// sorted, and nil when empty.
func Diff(before, after []netip.Addr) (added, removed []netip.Addr) {
	for len(before) > 0 && len(after) > 0 {
		switch c := before[0].Compare(after[0]); {
		case c < 0:
			removed, before = append(removed, before[0]), before[1:]
		case c > 0:
			added, after = append(added, after[0]), after[1:]
		default:
			before, after = before[1:], after[1:]
		}
	}
	return append(added, after...), append(removed, before...)
}
