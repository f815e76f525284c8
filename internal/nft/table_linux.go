package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// kernel is a table of nftables. It keeps no connection: a transaction opens one.
type kernel struct {
	table *nftables.Table
	chain *nftables.Chain
	sets  map[string]*nftables.Set // that the kernel has
}

func newTable(name string) table {
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: name}
	priority := nftables.ChainPriority(-10)
	accept := nftables.ChainPolicyAccept
	return &kernel{table: t, chain: &nftables.Chain{Name: "bans", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput,
		Priority: &priority, Policy: &accept}}
}

// reset implements table.
func (k *kernel) reset(ports []uint16) error {
	if err := k.remove(); err != nil {
		return err
	}
	c, err := dial()
	if err != nil {
		return err
	}
	k.sets = map[string]*nftables.Set{}
	c.AddTable(k.table)
	c.AddChain(k.chain)
	doors := &nftables.Set{Table: k.table, Name: "ports", KeyType: nftables.TypeInetService}
	open := make([]nftables.SetElement, len(ports))
	for i, port := range ports {
		open[i].Key = binary.BigEndian.AppendUint16(nil, port)
	}
	if err := c.AddSet(doors, open); err != nil {
		return err
	}
	// meta l4proto != tcp accept
	pass := &expr.Verdict{Kind: expr.VerdictAccept}
	c.AddRule(&nftables.Rule{Table: k.table, Chain: k.chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		pass,
	}})
	// tcp dport != @ports accept
	c.AddRule(&nftables.Rule{Table: k.table, Chain: k.chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: 1, SetName: doors.Name, SetID: doors.ID, Invert: true},
		pass,
	}})
	return flush(c)
}

// update implements table.
func (k *kernel) update(remove []netip.Prefix, add []element) error {
	c, err := dial()
	if err != nil {
		return err
	}
	fresh := map[string]*nftables.Set{}
	gone := map[*nftables.Set][]nftables.SetElement{}
	for _, p := range remove {
		if set := k.sets[setName(p)]; set != nil {
			gone[set] = append(gone[set], nftables.SetElement{Key: p.Addr().AsSlice()})
		}
	}
	come := map[*nftables.Set][]nftables.SetElement{}
	for _, e := range add {
		name := setName(e.prefix)
		set := k.sets[name]
		if set == nil {
			set = fresh[name]
		}
		if set == nil {
			if set, err = k.addSet(c, name, e.prefix); err != nil {
				return err
			}
			fresh[name] = set
		}
		come[set] = append(come[set], nftables.SetElement{Key: e.prefix.Addr().AsSlice(), Timeout: e.left.Round(time.Millisecond)})
	}
	for set, elements := range gone {
		if err := c.SetDeleteElements(set, elements); err != nil {
			return err
		}
	}
	for set, elements := range come {
		if err := c.SetAddElements(set, elements); err != nil {
			return err
		}
	}
	if err := flush(c); err != nil {
		return err
	}
	for name, set := range fresh {
		k.sets[name] = set
	}
	return nil
}

// addSet adds the set of all prefixes as long as p, and the rule that drops what comes from them.
func (k *kernel) addSet(c *nftables.Conn, name string, p netip.Prefix) (*nftables.Set, error) {
	set := &nftables.Set{Table: k.table, Name: name, KeyType: nftables.TypeIPAddr, HasTimeout: true, Size: Most}
	family, offset, length := byte(unix.NFPROTO_IPV4), uint32(12), uint32(net.IPv4len)
	if p.Addr().Is6() {
		set.KeyType = nftables.TypeIP6Addr
		family, offset, length = unix.NFPROTO_IPV6, 8, net.IPv6len
	}
	if err := c.AddSet(set, nil); err != nil {
		return nil, err
	}
	c.AddRule(&nftables.Rule{Table: k.table, Chain: k.chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: length, Mask: net.CIDRMask(p.Bits(), int(8*length)), Xor: make([]byte, length)},
		&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	return set, nil
}

// there implements table.
func (k *kernel) there() (bool, error) {
	c, err := dial()
	if err != nil {
		return false, err
	}
	all, err := c.ListTablesOfFamily(k.table.Family)
	if err != nil {
		return false, explain(err)
	}
	for _, t := range all {
		if t.Name == k.table.Name {
			return true, nil
		}
	}
	return false, nil
}

// remove implements table.
func (k *kernel) remove() error {
	c, err := dial()
	if err != nil {
		return err
	}
	// Added first, because deleting what is not there fails.
	c.AddTable(k.table)
	c.DelTable(k.table)
	return flush(c)
}

func dial() (*nftables.Conn, error) {
	c, err := nftables.New()
	return c, explain(err)
}

func flush(c *nftables.Conn) error { return explain(c.Flush()) }

// explain adds what can be done about an error.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return fmt.Errorf("bans.kernel: the kernel does not let the gateway change nftables (%w): give it CAP_NET_ADMIN, as by "+
			"AmbientCapabilities=CAP_NET_ADMIN in the systemd unit, or set bans.kernel: false", err)
	case errors.Is(err, syscall.EPROTONOSUPPORT), errors.Is(err, syscall.EAFNOSUPPORT), errors.Is(err, syscall.EOPNOTSUPP):
		return fmt.Errorf("bans.kernel: the kernel has no nftables (%w): load nf_tables, or set bans.kernel: false", err)
	}
	return fmt.Errorf("bans.kernel: nftables: %w", err)
}
