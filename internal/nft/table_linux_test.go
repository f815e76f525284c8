package nft

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

const insideVariable = "NFT_TEST_INSIDE"

// inside runs the test once more in namespaces of its own, and says true there.
func inside(t *testing.T, namespaces uintptr) bool {
	t.Helper()
	if os.Getenv(insideVariable) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=90s")
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  namespaces,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Skipf("no namespaces may be made here: %v", err)
	}
	switch {
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	case err != nil || !strings.Contains(string(out), "--- PASS"):
		t.Errorf("%v\n%s", err, out)
	default:
		t.Logf("%s", out)
	}
	return false
}

// ownNetwork is inside a network of its own, with loopback up and addresses of the documentation networks on it.
func ownNetwork(t *testing.T) bool {
	t.Helper()
	if !inside(t, syscall.CLONE_NEWUSER|syscall.CLONE_NEWNET) {
		return false
	}
	for _, order := range []string{"link set lo up", "address add 203.0.113.1/24 dev lo", "address add 203.0.113.2/24 dev lo",
		"address add 2001:db8:0:1::1/128 dev lo nodad", "address add 2001:db8:0:2::1/128 dev lo nodad"} {
		if out, err := exec.Command("ip", strings.Fields(order)...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v %s", order, err, out)
		}
	}
	k := newTable("probe").(*kernel)
	if err := k.reset(nil); err != nil {
		t.Skipf("this kernel has no nftables for us: %v", err)
	}
	if err := k.remove(); err != nil {
		t.Fatal(err)
	}
	return true
}

func kernelDrops(t *testing.T) (*Drops, *kernel) {
	t.Helper()
	d := New(Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	d.Start()
	t.Cleanup(d.Close)
	return d, d.table.(*kernel)
}

// door accepts and closes connections, and returns its port.
func door(t *testing.T) uint16 {
	t.Helper()
	ln, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			nc.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return netip.MustParseAddrPort(strings.Replace(ln.Addr().String(), "[::]", "0.0.0.0", 1)).Port()
}

// connect connects from an address to a port, in the background.
func connect(from string, port uint16) <-chan error {
	to := "203.0.113.1"
	if strings.Contains(from, ":") {
		to = "2001:db8:0:2::1"
	}
	out := make(chan error, 1)
	go func() {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 30 * time.Second}
		nc, err := d.DialContext(context.Background(), "tcp", net.JoinHostPort(to, fmt.Sprint(port)))
		if err == nil {
			nc.Close()
		}
		out <- err
	}()
	return out
}

func passes(t *testing.T, what string, out <-chan error) {
	t.Helper()
	if err := <-out; err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// dropped is how many packets the table has dropped.
func (k *kernel) dropped(t *testing.T) (n uint64) {
	t.Helper()
	c, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	rules, err := c.GetRules(k.table, k.chain)
	if err != nil {
		return 0 // no table yet
	}
	for _, r := range rules {
		for _, e := range r.Exprs {
			if counter, ok := e.(*expr.Counter); ok {
				n += counter.Packets
			}
		}
	}
	return n
}

// elements are what a set holds.
func (k *kernel) elements(t *testing.T, name string) (all []string) {
	t.Helper()
	c, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	set, err := c.GetSetByName(k.table, name)
	if err != nil {
		return nil
	}
	elements, err := c.GetSetElements(set)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range elements {
		a, _ := netip.AddrFromSlice(e.Key)
		all = append(all, a.String())
	}
	slices.Sort(all)
	return all
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

// TestTheKernelDrops bans addresses of real connections. That something is dropped is told by the kernel's counter, not by waiting; that it
// is dropped no more by the same connection, which the client's kernel asks for again and again.
func TestTheKernelDrops(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	d, k := kernelDrops(t)
	ours, other := door(t), door(t)
	d.Ports([]uint16{ours})
	for _, one := range []struct{ address, ban, neighbour string }{
		{"203.0.113.2", "203.0.113.2/32", "203.0.113.1"},
		{"203.0.113.2", "203.0.113.2/31", "203.0.113.1"}, // a length that needs a mask within a byte
		{"2001:db8:0:1::1", "2001:db8:0:1::/64", "2001:db8:0:2::1"},
		{"2001:db8:0:1::1", "2001:db8:0:1::1/128", "2001:db8:0:2::1"},
	} {
		passes(t, one.address+" before it is banned", connect(one.address, ours))
		before := k.dropped(t)
		d.Ban(pfx(one.ban), in(time.Hour))
		await(t, "the kernel is told", func() bool { return d.Figures().Given == 1 })
		held := connect(one.address, ours)
		await(t, "the kernel drops "+one.ban, func() bool { return k.dropped(t) > before })
		passes(t, "a neighbour of "+one.ban, connect(one.neighbour, ours))
		passes(t, "another port, from "+one.ban, connect(one.address, other))
		d.Lift(pfx(one.ban))
		passes(t, one.address+" after it is not banned any more", held)
	}
}

func TestNetworksOverlap(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	d, k := kernelDrops(t)
	port := door(t)
	d.Ports([]uint16{port})
	for _, ban := range []string{"203.0.113.2/32", "203.0.113.2/31", "203.0.113.0/30"} {
		d.Ban(pfx(ban), time.Time{})
	}
	await(t, "the kernel is told", func() bool { return d.Figures().Given == 3 })
	held := connect("203.0.113.2", port)
	await(t, "the kernel drops", func() bool { return k.dropped(t) > 0 })
	d.Lift(pfx("203.0.113.2/32"))
	d.Lift(pfx("203.0.113.0/30"))
	await(t, "the kernel is told", func() bool { return d.Figures().Given == 1 })
	before := k.dropped(t)
	await(t, "the kernel still drops", func() bool { return k.dropped(t) > before })
	d.Lift(pfx("203.0.113.2/31"))
	passes(t, "nothing is left", held)
}

// TestTheKernelKeepsTime has nobody but the kernel end a ban.
func TestTheKernelKeepsTime(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	k := newTable("straum").(*kernel)
	port := door(t)
	if err := k.reset([]uint16{port}); err != nil {
		t.Fatal(err)
	}
	if err := k.update(nil, []element{{pfx("203.0.113.2/32"), 700 * time.Millisecond}}); err != nil {
		t.Fatal(err)
	}
	held := connect("203.0.113.2", port)
	await(t, "the kernel drops", func() bool { return k.dropped(t) > 0 })
	passes(t, "the ban is over", held)
}

func TestManyAndAPredecessor(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	dead := newTable("straum").(*kernel)
	if err := dead.reset([]uint16{1}); err != nil {
		t.Fatal(err)
	}
	if err := dead.update(nil, []element{{pfx("198.51.100.1/32"), time.Hour}, {pfx("198.51.100.0/24"), time.Hour}}); err != nil {
		t.Fatal(err)
	}
	others, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	others.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "filter"})
	if err := flush(others); err != nil {
		t.Fatal(err)
	}

	d, k := kernelDrops(t)
	const n = 20_000
	address := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64 + byte(i>>16), byte(i >> 8), byte(i)}), 32)
	}
	began := time.Now()
	for i := range n {
		d.Ban(address(i), in(time.Hour))
	}
	await(t, "the kernel is told", func() bool { return d.Figures().Given == n })
	t.Logf("%d bans are in the kernel after %v", n, time.Since(began).Round(time.Millisecond))
	if got := k.elements(t, "v4_32"); len(got) != n || slices.Contains(got, "198.51.100.1") {
		t.Errorf("the kernel holds %d, with what the predecessor left: %v", len(got), slices.Contains(got, "198.51.100.1"))
	}
	for i := range n / 2 {
		d.Lift(address(2 * i))
	}
	await(t, "the kernel is told", func() bool { return d.Figures().Given == n/2 })
	if got := k.elements(t, "v4_32"); len(got) != n/2 || got[0] != "100.64.0.1" || k.elements(t, "v4_24") != nil {
		t.Errorf("the kernel holds %d, first %s", len(got), got[0])
	}
	if _, err := exec.LookPath("nft"); err == nil {
		out, err := exec.Command("nft", "list", "table", "inet", "straum").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "ip saddr & 255.255.255.255 @v4_32") && !strings.Contains(string(out), "ip saddr @v4_32") {
			t.Errorf("nft shows %v\n%s", err, out[:min(len(out), 2000)])
		}
	}
	d.Close()
	if there, err := k.there(); there || err != nil {
		t.Errorf("after the end the table is there: %v, %v", there, err)
	}
	tables, err := others.ListTables()
	if err != nil || len(tables) != 1 || tables[0].Name != "filter" {
		t.Errorf("the tables of others: %v, %v", tables, err)
	}
}

// TestRemovingWhatIsNotThere is what Drops count on: an error of its own, and nothing of the transaction in force.
func TestRemovingWhatIsNotThere(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	d, k := kernelDrops(t)
	d.Ban(pfx("203.0.113.2/32"), time.Time{})
	await(t, "the kernel is told", func() bool { return d.Figures().Given == 1 })
	err := k.update([]netip.Prefix{pfx("203.0.113.7/32")}, []element{{pfx("203.0.113.8/32"), time.Hour}})
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if got := k.elements(t, "v4_32"); !slices.Equal(got, []string{"203.0.113.2"}) {
		t.Errorf("the kernel holds %v", got)
	}
}

// TestWithoutTheCapability has a user of its own, who owns no network.
func TestWithoutTheCapability(t *testing.T) {
	if !inside(t, syscall.CLONE_NEWUSER) {
		return
	}
	d, _ := kernelDrops(t)
	d.Ban(pfx("203.0.113.2/32"), time.Time{})
	await(t, "it is told", func() bool { return d.Figures().Problem != "" })
	if f := d.Figures(); f.Given != 0 || !strings.Contains(f.Problem, "AmbientCapabilities=CAP_NET_ADMIN") {
		t.Errorf("%+v", f)
	}
}
