package ban

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func (s *scene) file() string { return filepath.Join(s.dir, fileName) }

func (s *scene) read() string {
	s.t.Helper()
	text, err := os.ReadFile(s.file())
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// restart is a restart after a stop in good order.
func (s *scene) restart(change func(*Settings)) {
	s.t.Helper()
	if err := s.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.changes = nil
	s.open()
	s.use(change)
}

// A restart keeps bans with their counts and reasons; what is over is gone from the disk when it is forgotten.
func TestRestart(t *testing.T) {
	s := newScene(t, nil)
	s.strike("203.0.113.7", Suspect, 5)
	s.pass(10 * time.Minute)
	s.strike("203.0.113.7", AuthFailed, 10)
	s.strike("2001:db8::1", Malformed, 20)
	s.strike("192.0.2.1", Suspect, 5)
	if _, err := s.Add(Order{Network: netip.MustParsePrefix("198.51.100.0/24"), Reason: "\"abuse\"\\ of\u00a0it", By: "öps"}); err == nil {
		t.Error("a space that is none is taken")
	}
	if _, err := s.Add(Order{Network: netip.MustParsePrefix("198.51.100.0/24"), Reason: `"abuse"\ of it`, By: "öps", Rung: Kernel}); err != nil {
		t.Fatal(err)
	}
	want := s.all()
	s.restart(nil)
	if got := s.all(); len(got) != 4 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	s.rung("203.0.113.7", Drop)
	s.chores()
	if len(s.changes) != 4 {
		t.Errorf("told %q", s.changes)
	}
	if info, err := os.Stat(s.file()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	s.pass(20 * time.Minute)
	s.restart(nil)
	s.is("198.51.100.0/24 kernel for ever 1 \"abuse\"\\ of it öps")
	s.strike("203.0.113.7", Suspect, 5)
	s.is("198.51.100.0/24 kernel for ever 1 \"abuse\"\\ of it öps", "203.0.113.7/32 kernel 40m0s 3 suspect score")
	s.pass(40*time.Minute + 720*time.Hour - time.Second)
	s.restart(nil)
	if text := s.read(); strings.Contains(text, "192.0.2.1") || !strings.Contains(text, "203.0.113.7") {
		t.Errorf("kept\n%s", text)
	}
	s.pass(time.Second)
	s.pass(time.Second)
	if text := s.read(); strings.Contains(text, "203.0.113") || !strings.Contains(text, "198.51.100.0/24") {
		t.Errorf("kept\n%s", text)
	}
	// A shorter time of remembering holds at once.
	s.strike("203.0.113.7", Suspect, 5)
	s.pass(time.Hour)
	s.use(func(s *Settings) { s.Remember = 0 })
	s.pass(time.Second)
	s.pass(time.Second)
	if text := s.read(); strings.Contains(text, "203.0.113") {
		t.Errorf("kept\n%s", text)
	}
}

// What a dry run decided is not kept.
func TestDryRunIsNotKept(t *testing.T) {
	s := newScene(t, nil)
	s.strike("203.0.113.7", Suspect, 5)
	s.pass(10 * time.Minute)
	s.use(func(s *Settings) { s.DryRun = true })
	s.strike("203.0.113.7", Suspect, 5)
	s.strike("203.0.113.8", Suspect, 5)
	s.is("203.0.113.7/32 drop 20m0s 2 suspect score dry", "203.0.113.8/32 refuse 10m0s 1 suspect score dry")
	s.restart(nil)
	s.is()
	s.strike("203.0.113.7", Suspect, 5)
	s.strike("203.0.113.8", Suspect, 5)
	s.is("203.0.113.7/32 drop 20m0s 2 suspect score", "203.0.113.8/32 refuse 10m0s 1 suspect score")
}

// A file that is torn or foreign is set aside and told of, whatever is wrong with it; nobody is banned by what is left of it.
func TestDamagedFile(t *testing.T) {
	s := newScene(t, nil)
	for i := range 20 {
		s.strike(fmt.Sprintf("203.0.113.%d", i), Suspect, 5)
	}
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	good := s.read()
	damage := map[string]string{"empty": "", "foreign": "hello\n", "longer": good + "x", "twice": good + good, "other version": strings.Replace(good, "bans 1", "bans 2", 1),
		"a long line": strings.Replace(good, "\n", "\n"+strings.Repeat("a", 5000)+"\n", 1), "no end": good[:strings.LastIndex(good, "end")]}
	for i := 1; i < len(good); i += len(good) / 50 {
		damage[fmt.Sprint("torn at ", i)] = good[:i]
		flipped := []byte(good)
		flipped[i] ^= 1
		damage[fmt.Sprint("flipped at ", i)] = string(flipped)
	}
	for name, text := range damage {
		if err := os.WriteFile(s.file(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.log.take()
		s.open()
		s.use(nil)
		s.is()
		aside, err := os.ReadFile(s.file() + ".damaged")
		if logged := s.log.take(); err != nil || string(aside) != text || !strings.Contains(logged, "set aside") || strings.Contains(logged, "203.0.113") {
			t.Errorf("%s: %v, set aside %q, logged %s", name, err, aside, logged)
		}
		if a := s.Attention(); len(a) != 1 || !strings.Contains(a[0], "set aside") {
			t.Errorf("%s: %q", name, a)
		}
		s.strike("192.0.2.1", Suspect, 5)
		s.restart(nil)
		s.is("192.0.2.1/32 refuse 10m0s 1 suspect score")
	}
}

// A file that cannot be read is neither lost nor replaced, and a directory that cannot be written to is told of.
func TestUnreadable(t *testing.T) {
	s := newScene(t, nil)
	if err := syscall.Mkfifo(s.file(), 0o600); err != nil {
		t.Fatal(err)
	}
	s.open()
	s.use(nil)
	s.strike("203.0.113.7", Suspect, 5)
	s.chores()
	if info, err := os.Stat(s.file()); err != nil || info.Mode().IsRegular() {
		t.Errorf("%v, %v", info, err)
	}
	if a := s.Attention(); len(a) != 1 || !strings.Contains(a[0], "cannot be kept") {
		t.Errorf("%q", a)
	}
	s.rung("203.0.113.7", Refuse)

	s = newScene(t, nil)
	s.dir = filepath.Join(s.dir, "file")
	if err := os.WriteFile(s.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.log.take()
	s.open() // its directory is a file
	s.use(nil)
	s.strike("203.0.113.7", Suspect, 5)
	if err := s.Save(); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("%v", err)
	}
	if a := s.Attention(); len(a) != 1 {
		t.Errorf("%q", a)
	}
}

// A burst is saved at once and then once a second at most; nothing is saved while nothing changes.
func TestPace(t *testing.T) {
	s := newScene(t, nil)
	age := func() time.Duration { // since it was written, going by what it holds
		last := time.Duration(-1)
		for line := range strings.Lines(s.read()) {
			if f := strings.Split(line, "\t"); len(f) == fields {
				var ms int64
				fmt.Sscan(f[2], &ms)
				last = max(last, time.UnixMilli(ms).Sub(beginning))
			}
		}
		return last
	}
	for i := range 100 {
		s.strike(fmt.Sprintf("203.0.113.%d", i), Suspect, 5)
		s.pass(100 * time.Millisecond)
		if got, want := age(), s.at-100*time.Millisecond; want-got > time.Second {
			t.Errorf("after %v it holds what was at %v", s.at, got)
		}
	}
	s.pass(time.Second)
	before, _ := os.Stat(s.file())
	s.pass(time.Hour / 60)
	s.pass(time.Second)
	if after, _ := os.Stat(s.file()); !os.SameFile(before, after) {
		t.Error("it is saved again, and nothing has changed")
	}
}

// Saving takes a twentieth of the time at most, and a save that failed is tried again.
func TestPause(t *testing.T) {
	k := keeper{log: newLog(&logged{})}
	f := func(took time.Duration, err error, want time.Duration) {
		t.Helper()
		if k.wrote(beginning, took, err); k.wait(beginning) != want || k.wait(beginning.Add(want)) > 0 || k.wait(beginning.Add(-time.Hour)) != want {
			t.Errorf("after %v, %v: %v, want %v", took, err, k.wait(beginning), want)
		}
	}
	f(time.Millisecond, nil, time.Second)
	f(time.Second, nil, 20*time.Second)
	f(time.Second, syscall.ENOSPC, 10*time.Second)
	f(time.Millisecond, nil, time.Second)
}

// A process that is killed loses what was decided in its last second at most.
func TestKill(t *testing.T) {
	if dir := os.Getenv("STRAUM_BAN_CHILD"); dir != "" {
		e := New(Options{Dir: dir, Log: newLog(&logged{})})
		if err := e.Use(usual()); err != nil {
			t.Fatal(err)
		}
		for i := range 5000 {
			for range 5 {
				e.Strike(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), Suspect, int64(i))
			}
			time.Sleep(time.Millisecond)
			fmt.Println(i)
		}
		return
	}
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestKill$")
	child.Env = append(os.Environ(), "STRAUM_BAN_CHILD="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	var done int
	for done < 1500 { // until it is well on its way, at least a second
		if _, err := fmt.Fscanln(out, &done); err != nil {
			t.Fatal(err)
		}
	}
	child.Process.Kill()
	s := &scene{t: t, dir: dir, log: &logged{}}
	s.Engine = New(Options{Dir: dir, Log: newLog(s.log), still: true})
	s.use(nil)
	n := len(s.all())
	t.Logf("%d of %d bans outlived the kill", n, done)
	if a := s.Attention(); n < 100 || len(a) != 0 {
		t.Errorf("%d bans, %q", n, a)
	}
}

// Whatever is written is read again as it was.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger(1000)
		for range rapid.IntRange(0, 50).Draw(t, "records") {
			var a netip.Addr
			if rapid.Bool().Draw(t, "v4") {
				a = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address")))
			} else {
				a = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address")))
			}
			n, ok := canonical(netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")))
			if !ok || l.records[n] != nil {
				continue
			}
			began := rapid.Int64Range(0, 1<<50).Draw(t, "began")
			r, err := l.begin(n, began, rapid.Int64Range(0, 1<<50).Draw(t, "until"))
			if err != nil {
				t.Fatal(err)
			}
			r.count = rapid.Int32Range(1, 1<<31-1).Draw(t, "count")
			r.rung = Rung(rapid.IntRange(1, 3).Draw(t, "rung"))
			if r.origin = origin(rapid.IntRange(0, 2).Draw(t, "origin")); r.origin == byHand {
				r.reason = rapid.StringMatching(`[a-zæøå"\\\\ ]{0,60}`).Draw(t, "reason")
				r.by = rapid.StringMatching(`[a-z]{0,60}`).Draw(t, "by")
			} else {
				r.signal = Signal(rapid.IntRange(0, int(Signals)-1).Draw(t, "signal"))
			}
			if rapid.Bool().Draw(t, "over") {
				l.end(r, rapid.Int64Range(0, 1<<50).Draw(t, "ended"))
			}
		}
		var file bytes.Buffer
		if err := encode(&file, l.kept()); err != nil {
			t.Fatal(err)
		}
		again := newLedger(1000)
		if err := decode(bytes.NewReader(file.Bytes()), again); err != nil {
			t.Fatalf("%v\n%s", err, file.String())
		}
		sorted := func(list []record) []record {
			for i := range list {
				list[i].place = 0 // depends on the order
			}
			slices.SortFunc(list, func(a, b record) int {
				return a.network.Addr().Compare(b.network.Addr())*200 + a.network.Bits() - b.network.Bits()
			})
			return list
		}
		if want, got := sorted(l.kept()), sorted(again.kept()); !slices.Equal(want, got) {
			t.Fatalf("%+v, want %+v", got, want)
		}
		if len(again.ends.list) != len(l.ends.list) || len(again.over.list) != len(l.over.list) || again.running.Size() != l.running.Size() {
			t.Fatal("they are filed otherwise")
		}
	})
}

// Whatever a file holds, reading it ends in records or in an error, and what was taken is written the same.
func FuzzDecode(f *testing.F) {
	l := newLedger(10)
	l.begin(netip.MustParsePrefix("203.0.113.7/32"), 1, 2)
	r, _ := l.begin(netip.MustParsePrefix("2001:db8::/64"), 1, 0)
	r.origin, r.reason, r.rung, l.records[netip.MustParsePrefix("203.0.113.7/32")].rung = byHand, "why", Drop, Refuse
	var file bytes.Buffer
	if err := encode(&file, l.kept()); err != nil {
		f.Fatal(err)
	}
	f.Add(file.String())
	f.Add(head)
	f.Fuzz(func(t *testing.T, line string) {
		if r, ok := parseRecord(line); ok {
			text := string(appendRecord(nil, r))
			again, ok := parseRecord(strings.TrimSuffix(text, "\n"))
			if !ok || *again != *r {
				t.Errorf("%q: %+v, %+v", line, r, again)
			}
		}
		l := newLedger(10)
		if decode(strings.NewReader(line), l) != nil && len(l.records) > 0 {
			t.Errorf("%q leaves records", line)
		}
	})
}
