package ip

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
)

// ask sends a request from an address, "" for a client whose address nobody knows, and says what became of it.
func ask(r *policytest.Running, from string) string {
	x := r.Request("GET / HTTP/1.1\nHost: a\n\n")
	x.Client = netip.Addr{}
	if from != "" {
		x.Client = netip.MustParseAddr(from)
	}
	r.Chain.Request(x)
	word := policytest.Verdict(x, "ip")
	if x.Fault != nil {
		return x.Fault.Kind.Word + " " + word
	}
	return word
}

func TestLists(t *testing.T) {
	f := func(options string, want ...string) {
		t.Helper()
		r := policytest.New(t).Policy(Kind, options)
		for i := 0; i < len(want); i += 2 {
			if got := ask(r, want[i]); got != want[i+1] {
				t.Errorf("%s: %q gets %q, want %q", options, want[i], got, want[i+1])
			}
		}
	}
	const refused, unlisted, unknown = "address_refused denied", "address_refused unlisted", "address_refused unknown"
	// One list.
	f("{deny: [10.0.0.0/8, 2001:db8::1]}", "10.1.2.3", refused, "11.0.0.1", "", "2001:db8::1", refused, "2001:db8::2", "", "", "")
	f("{allow: [10.0.0.0/8]}", "10.1.2.3", "", "11.0.0.1", unlisted, "::1", unlisted, "", unknown)
	// Exceptions: the longest prefix counts, whichever list it is in.
	f("{allow: [10.0.0.0/8, 10.1.1.1], deny: [10.1.0.0/16]}", "10.0.0.1", "", "10.1.0.1", refused, "10.1.1.1", "", "9.9.9.9", unlisted)
	f("{deny: [0.0.0.0/0], allow: [192.0.2.0/24]}", "192.0.2.9", "", "8.8.8.8", refused, "2001:db8::1", unlisted)
	// The same prefix in both is refused.
	f("{allow: [10.0.0.0/8], deny: [10.0.0.0/8]}", "10.1.2.3", refused)
	// IPv4 is IPv4, however it is written; zones play no part.
	f("{deny: [10.0.0.0/8]}", "::ffff:10.1.2.3", refused, "::ffff:11.1.2.3", "")
	f("{deny: ['::ffff:10.0.0.0/104', 'fe80::/10']}", "10.1.2.3", refused, "fe80::1%eth0", refused)
	// All of one family is not all of the other, and the unknown are in neither.
	f("{allow: ['0.0.0.0/0', '::/0']}", "1.2.3.4", "", "::1", "", "", unknown)
	f("{deny: ['::/0']}", "1.2.3.4", "", "::1", refused, "::ffff:1.2.3.4", "", "", "")
	// As if there were nothing.
	f("{deny: [10.0.0.0/8], status: 404}", "10.1.2.3", "no_route denied")
	// Dry.
	f("{deny: [10.0.0.0/8], dry_run: true}", "10.1.2.3", "would_deny", "1.1.1.1", "")
	f("{allow: [10.0.0.0/8], dry_run: true}", "1.1.1.1", "would_refuse_unlisted", "", "would_refuse_unknown", "10.0.0.1", "")
}

// A refusal by address is no signal for bans: the client is told no more than that it may not, and has tried nothing.
func TestNoSignal(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{deny: [192.0.2.0/24]}")
	if x := r.Ask("GET / HTTP/1.1\nHost: a\n\n"); x.Fault == nil || x.Signals != 0 {
		t.Errorf("%v, signals %d", x.Fault, x.Signals)
	}
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	f := func(options, want string) {
		t.Helper()
		if got := w.Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q in it", options, got, want)
		}
	}
	f("{}", "found no list; allowed: one or more of allow, deny, allow_files and deny_files")
	f("{status: 404}", "found no list")
	f("{allow: []}", "allow")
	f("{deny: [10.0.0.1/8]}", "10.0.0.0/8")
	f("{deny: [host]}", "deny")
	f("{deny: [10.0.0.0/8], status: 200}", "status")
	f("{deny_files: ['']}", "found an empty name")
	f("{deny_files: [/nowhere/at-all]}", "policy ip: stat /nowhere/at-all: no such file")
	f("{deny: [10.0.0.0/8], deny_file: a}", "deny_file")
}

// write puts a file down as a whole, at a time of its own so that a coarse clock of a file system hides nothing.
func write(t testing.TB, path, text string, age time.Duration) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(next, at, at); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "list")
	f := func(text, want string) {
		t.Helper()
		write(t, path, text, 0)
		var all []string
		_, err := readFile(path, func(p netip.Prefix) { all = append(all, p.String()) })
		got := strings.Join(all, " ")
		if err != nil {
			got = strings.TrimPrefix(err.Error(), path)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	f("10.0.0.0/8\n2001:db8::/32\n", "10.0.0.0/8 2001:db8::/32")
	f("# of today\r\n\r\n  10.0.0.1\t# one\r\n192.0.2.0/24 ; SBL1\n::ffff:10.2.0.0/112", "10.0.0.1/32 192.0.2.0/24 10.2.0.0/16")
	f("# nobody\n", "")
	f("\n", "")
	f("", ": the file is empty; write a comment (# nobody) into a list that is meant to hold nothing")
	const allowed = "; allowed: a network such as 10.0.0.0/8, 2001:db8::/32 or an address"
	f("10.0.0.0/8\n10.0.0.0/33\n", `:2: found "10.0.0.0/33", which is no network`+allowed)
	f("10.0.0.7/8\n", `:1: found "10.0.0.7/8", which has bits set behind the slash; write 10.0.0.0/8 for the network or 10.0.0.7 for the address`+allowed)
	f("10.0.0.0/8 10.1.0.0/16\n", `:1: found "10.0.0.0/8 10.1.0.0/16", which is no network`+allowed)
	f("::/0\n::ffff:0.0.0.0/90\n", `:2: found "::ffff:0.0.0.0/90", which mixes IPv4 and IPv6`+allowed)
	if _, err := readFile(dir, nil); err == nil || err.Error() != dir+": found a directory; allowed: a regular file" {
		t.Error(err)
	}
	write(t, path, "fe80::1%eth0\n", 0)
	if _, err := readFile(path, func(netip.Prefix) {}); err == nil || !strings.Contains(err.Error(), ":1: found") {
		t.Error("a zone:", err)
	}
	write(t, path, "10.0.0.0/8\n"+strings.Repeat("x", maxLine+1), 0)
	if _, err := readFile(path, func(netip.Prefix) {}); err == nil || err.Error() != path+":2: found a line of more than 1024 bytes; allowed: one network or address a line" {
		t.Error(err)
	}
	write(t, path, "10.0.0.0/8 # "+strings.Repeat("x", maxLine-14)+"\n", 0)
	if _, err := readFile(path, func(netip.Prefix) {}); err != nil {
		t.Error("a line as long as may be:", err)
	}
	var many bytes.Buffer
	for range maxPrefixes + 1 {
		many.WriteString("::1\n")
	}
	write(t, path, many.String(), 0)
	if _, err := readFile(path, func(netip.Prefix) {}); err == nil || err.Error() != path+":1000001: found more than 1000000 networks; split the file" {
		t.Error(err)
	}
	if err := os.Truncate(path, maxFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err := readFile(path, func(netip.Prefix) {}); err == nil || err.Error() != fmt.Sprintf("%s: found %d bytes; allowed: up to %d", path, maxFile+1, maxFile) {
		t.Error(err)
	}
}

// A file that is written while it is read is not taken.
func TestMovingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, "10.0.0.0/8\n", time.Minute)
	_, err := readFile(path, func(netip.Prefix) {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString("10.0.")
			f.Close()
		}
		if err != nil {
			t.Error(err)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("taken: %v", err)
	}
}

// world is one whose log is kept, with a directory for files.
func world(t testing.TB) (*policytest.World, *bytes.Buffer, string) {
	w := policytest.New(t)
	dir := t.TempDir()
	w.File = filepath.Join(dir, "straum.yaml")
	var log bytes.Buffer
	w.Log = slog.New(slog.NewTextHandler(&log, nil))
	return w, &log, dir
}

func tableOf(t testing.TB, r *policytest.Running) *table {
	t.Helper()
	return r.Chain.Requests[0].(*running).table
}

// Files come beside those of the configuration, longest prefixes count across all lists, and a reload reads what changed at once.
func TestFiles(t *testing.T) {
	w, _, dir := world(t)
	write(t, filepath.Join(dir, "office"), "192.0.2.0/24\n", time.Minute)
	write(t, filepath.Join(dir, "bad"), "192.0.2.128/25\n198.51.100.0/24\n", time.Minute)
	const options = "{allow: [10.0.0.0/8, 198.51.100.7], allow_files: [office], deny_files: [bad]}"
	r := w.Policy(Kind, options)
	f := func(from, want string) {
		t.Helper()
		if got := ask(r, from); got != want {
			t.Errorf("%s gets %q, want %q", from, got, want)
		}
	}
	f("10.0.0.1", "")
	f("192.0.2.1", "")
	f("192.0.2.200", "address_refused denied")
	f("198.51.100.7", "")
	f("198.51.100.8", "address_refused denied")
	f("203.0.113.1", "address_refused unlisted")

	write(t, filepath.Join(dir, "bad"), "192.0.2.0/24\n", 0)
	first := tableOf(t, r)
	r = w.Policy(Kind, options)
	if tableOf(t, r) != first {
		t.Error("a reload with the same lists makes another table")
	}
	f("192.0.2.1", "address_refused denied")
	f("198.51.100.8", "address_refused unlisted")

	// A bad file refuses the revision and changes nothing.
	write(t, filepath.Join(dir, "bad"), "# one\nx\n", 0)
	if got, want := w.Refused(Kind, options), filepath.Join(dir, "bad")+`:2: found "x", which is no IP address`; !strings.Contains(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
	f("192.0.2.1", "address_refused denied")
}

// Policies with the same lists share a table, whatever else their options say.
func TestShared(t *testing.T) {
	w, _, dir := world(t)
	write(t, filepath.Join(dir, "a"), "10.0.0.0/8\n", time.Minute)
	begun := func(options string) *table {
		built, err := Kind.Build(decoder(t, w.File, options))
		if err != nil {
			t.Fatal(err)
		}
		bound, err := built.(policy.Binder).Bind(&w.World)
		if err != nil {
			t.Fatal(err)
		}
		return bound.(*running).table
	}
	one := begun("{deny_files: [a], deny: [11.0.0.0/8]}")
	for _, options := range []string{"{deny_files: a, deny: [11.0.0.0/8], status: 404}", "{deny_files: [a], deny: [11.0.0.0/8], dry_run: true}"} {
		if begun(options) != one {
			t.Errorf("%s has a table of its own", options)
		}
	}
	for _, options := range []string{"{deny_files: [a]}", "{allow_files: [a], allow: [11.0.0.0/8]}", "{allow_files: [a], deny: [11.0.0.0/8]}"} {
		if begun(options) == one {
			t.Errorf("%s has the table of others", options)
		}
	}
}

// A changed file takes effect by itself once it stays as it is from one look to the next; one that is bad, half written, empty or gone changes
// nothing, and somebody is told, once.
func TestWatch(t *testing.T) {
	w, log, dir := world(t)
	path := filepath.Join(dir, "a")
	write(t, path, "10.0.0.0/8\n", 9*time.Minute)
	r := w.Policy(Kind, "{deny_files: [a]}")
	table := tableOf(t, r)
	f := func(from string, refused bool) {
		t.Helper()
		if got := ask(r, from) != ""; got != refused {
			t.Errorf("%s refused: %t", from, got)
		}
	}
	figures := func() (f [3]float64) {
		w.State.Each(func(r policy.Reporter) {
			r.Report(func(g policy.Figure) {
				f[map[string]int{"ip_prefixes": 0, "ip_tables_kept": 1, "ip_tables_renewed_total": 2}[g.Name]] += g.Value
			})
		})
		return f
	}
	expect := func(prefixes, kept, renewed float64, lines int, attention string) {
		t.Helper()
		if got := figures(); got != [3]float64{prefixes, kept, renewed} {
			t.Errorf("figures %v, want %v %v %v", got, prefixes, kept, renewed)
		}
		if got := strings.Join(w.State.Attention(), "\n"); !strings.Contains(got, attention) || attention == "" && got != "" {
			t.Errorf("attention %q, want %q in it", got, attention)
		}
		if n := strings.Count(log.String(), "\n"); n != lines {
			t.Errorf("%d lines, want %d:\n%s", n, lines, log)
		}
	}
	table.look()
	table.look()
	expect(1, 0, 0, 0, "") // nothing changed
	write(t, path, "11.0.0.0/8\n12.0.0.0/8\n", 8*time.Minute)
	table.look()
	f("10.0.0.1", true)
	f("11.0.0.1", false) // it may still be written to
	table.look()
	f("10.0.0.1", false)
	f("11.0.0.1", true)
	expect(2, 0, 1, 1, "")
	// Bad.
	write(t, path, "13.0.0.0/8\n13.0.0/8\n", 7*time.Minute)
	for range 4 {
		table.look()
	}
	f("13.0.0.1", false)
	f("11.0.0.1", true)
	if table.tried == nil {
		t.Error("a bad file is read at each look, though it is as it was")
	}
	expect(2, 1, 1, 2, "policy ip goes on with the lists it had: "+path+":2: found \"13.0.0/8\"")
	// Empty, then gone.
	write(t, path, "", 6*time.Minute)
	for range 4 {
		table.look()
	}
	f("11.0.0.1", true)
	expect(2, 1, 1, 3, "the file is empty")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		table.look()
	}
	f("11.0.0.1", true)
	expect(2, 1, 1, 4, "no such file")
	// Good again, though it is as it was when it was last good.
	write(t, path, "11.0.0.0/8\n12.0.0.0/8\n", 8*time.Minute)
	table.look()
	table.look()
	expect(2, 0, 2, 5, "")
	f("11.0.0.1", true)
	// Moved away and back.
	for _, way := range [][2]string{{path, path + ".away"}, {path + ".away", path}} {
		if err := os.Rename(way[0], way[1]); err != nil {
			t.Fatal(err)
		}
		table.look()
		table.look()
	}
	table.look()
	expect(2, 0, 3, 7, "")
	// In the middle of being written: each look sees another size.
	write(t, path, "1.0.0.0/", 5*time.Minute)
	for range 3 {
		file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = file.WriteString("8\n1.0.0.0/"); err != nil {
			t.Fatal(err)
		}
		file.Close()
		table.look()
	}
	expect(2, 0, 3, 7, "")
}

// The goroutine looks on its own, and ends with the state.
func TestRunWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, dir := world(t)
		path := filepath.Join(dir, "a")
		write(t, path, "10.0.0.0/8\n", 0)
		r := w.Policy(Kind, "{deny_files: [a]}")
		r2 := w.Policy(Kind, "{deny_files: [a]}")
		if tableOf(t, r) != tableOf(t, r2) {
			t.Error("two tables")
		}
		write(t, path, "11.0.0.0/8\n", time.Hour)
		time.Sleep(2*lookEvery + time.Millisecond)
		synctest.Wait()
		if got := ask(r, "11.0.0.1"); got != "address_refused denied" {
			t.Errorf("a changed file is not in force after two looks: %q", got)
		}
		w.State.Close() // synctest fails when the goroutine stays
		w.State.Close()
		synctest.Wait()
	})
}

// decoder are options as the configuration has them.
func decoder(t testing.TB, file, yaml string) policy.Options {
	t.Helper()
	d, err := document.Parse(file, []byte(yaml), document.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	return plain{d.Root(), filepath.Dir(file)}
}

type plain struct {
	node document.Node
	dir  string
}

func (p plain) Decode(into any) error                      { return p.node.Decode(into) }
func (p plain) Errorf(_, format string, args ...any) error { return p.node.Errorf(format, args...) }
func (p plain) Upstream(string, string) error              { return nil }
func (p plain) Scope() string                              { return "test" }
func (p plain) Beside(path string) string                  { return filepath.Join(p.dir, path) }

// Whatever the lists, the decision is that of going through all of them one by one.
func TestAgainstLinearScan(t *testing.T) {
	// Few addresses, so that prefixes overlap: the last bits of a network of either family.
	address := rapid.Custom(func(t *rapid.T) netip.Addr {
		low := byte(rapid.IntRange(0, 31).Draw(t, "low"))
		switch rapid.IntRange(0, 2).Draw(t, "family") {
		case 0:
			return netip.AddrFrom4([4]byte{10, 0, low >> 3, low << 5})
		case 1:
			return netip.AddrFrom16([16]byte{0x20, 1, 15: low})
		}
		return netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff, 12: 10, 14: low >> 3, 15: low << 5})
	})
	prefixOf := rapid.Custom(func(t *rapid.T) document.Prefix {
		a := address.Draw(t, "address").Unmap()
		bits := a.BitLen() - rapid.IntRange(0, 12).Draw(t, "shorter")
		if rapid.IntRange(0, 9).Draw(t, "whole") == 0 {
			bits = 0
		}
		return document.Prefix{Prefix: netip.PrefixFrom(a, bits).Masked()}
	})
	rapid.Check(t, func(t *rapid.T) {
		l := lists{allow: rapid.SliceOfN(prefixOf, 0, 6).Draw(t, "allow"), deny: rapid.SliceOfN(prefixOf, 0, 6).Draw(t, "deny")}
		r := &running{settings{closed: len(l.allow) > 0}, newTable(l, slog.New(slog.DiscardHandler))}
		if err := r.table.load(); err != nil {
			t.Fatal(err)
		}
		for _, a := range rapid.SliceOfN(address, 1, 8).Draw(t, "clients") {
			best, want := -1, unlisted
			if !r.closed {
				want = allowed
			}
			for _, p := range l.allow {
				if p.Contains(a.Unmap()) && p.Bits() > best {
					best, want = p.Bits(), allowed
				}
			}
			for _, p := range l.deny {
				if p.Contains(a.Unmap()) && p.Bits() >= best {
					best, want = p.Bits(), denied
				}
			}
			if got := r.judge(a); got != want {
				t.Fatalf("%s: %d, want %d (allow %v, deny %v)", a, got, want, l.allow, l.deny)
			}
		}
	})
}

// Whatever a file holds, it is read to its end or refused with its place.
func FuzzFile(f *testing.F) {
	f.Add([]byte("10.0.0.0/8\n# x\n::1 ; y\r\n"))
	f.Add([]byte("::ffff:1.2.3.4/96\n\n/\n10.0.0.0/-1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		err := parse("f", bytes.NewReader(text), func(p netip.Prefix) {
			if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || p.Addr().Zone() != "" {
				t.Errorf("%v", p)
			}
		})
		if err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Error(err)
		}
	})
}

// million is a policy with a file of 1,000,000 prefixes: as a list of the world's bad addresses has them, most single IPv4 addresses.
func million(t testing.TB) (*running, uint64, time.Duration) {
	t.Helper()
	w, _, dir := world(t)
	var text bytes.Buffer
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range maxPrefixes {
		switch v := rnd.Uint32(); i % 10 {
		case 0:
			fmt.Fprintf(&text, "2001:%x:%x::/%d\n", v>>16&0xfff, v&0xffff, 48)
		case 1, 2:
			fmt.Fprintf(&text, "%d.%d.%d.0/24\n", v>>24, v>>16&0xff, v>>8&0xff)
		default:
			fmt.Fprintf(&text, "%d.%d.%d.%d\n", v>>24, v>>16&0xff, v>>8&0xff, v&0xff)
		}
	}
	write(t, filepath.Join(dir, "bad"), text.String(), 0)
	text = bytes.Buffer{}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	r := w.Policy(Kind, "{deny_files: [bad]}").Chain.Requests[0].(*running)
	took := time.Since(began)
	runtime.GC()
	runtime.ReadMemStats(&after)
	return r, after.HeapAlloc - before.HeapAlloc, took
}

// TestMillion states what a million prefixes cost.
func TestMillion(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector changes what is measured")
	}
	r, bytes, took := million(t)
	n := r.table.inForce.Load().Size()
	t.Logf("%d prefixes: %d bytes each, %d MiB; read in %v", n, bytes/uint64(n), bytes>>20, took.Round(time.Millisecond))
	if each := bytes / uint64(n); each > 100 {
		t.Errorf("%d bytes a prefix, and the page says about 70", each)
	}
}

// TestAllocations: letting in allocates nothing, also among many.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := policytest.New(t).Policy(Kind, "{allow: [192.0.2.0/24], deny: [192.0.2.128/25]}")
	x := r.Request("GET / HTTP/1.1\nHost: a\n\n")
	if n := testing.AllocsPerRun(100, func() {
		if r.Chain.Request(x); x.Fault != nil {
			t.Fatal(x.Fault)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFew(b *testing.B) {
	r := policytest.New(b).Policy(Kind, "{allow: [192.0.2.0/24, 10.0.0.0/8], deny: [192.0.2.128/25]}")
	x := r.Request("GET / HTTP/1.1\nHost: a\n\n")
	b.ReportAllocs()
	for b.Loop() {
		r.Chain.Request(x)
	}
	if x.Fault != nil {
		b.Fatal(x.Fault)
	}
}

// BenchmarkMillion asks for random addresses, so that nothing is in the processor's caches for long.
func BenchmarkMillion(b *testing.B) {
	r, _, _ := million(b)
	rnd := rand.New(rand.NewPCG(3, 4))
	clients := make([]netip.Addr, 1<<16)
	for i := range clients {
		v := rnd.Uint32()
		clients[i] = netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
		if i%4 == 0 {
			clients[i] = netip.AddrFrom16([16]byte{0x20, 1, byte(v >> 24 & 15), byte(v >> 16), byte(v >> 8), byte(v), 15: 1})
		}
	}
	x := &exchange.Exchange{}
	refused := 0
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		x.Client = clients[i&(len(clients)-1)]
		if r.judge(x.Client) != allowed {
			refused++
		}
		i++
	}
	b.ReportMetric(float64(refused)/float64(i), "refused/op")
}
