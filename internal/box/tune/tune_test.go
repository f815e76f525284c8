package tune

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"straum.dev/straum/internal/box/setting"
	"straum.dev/straum/internal/box/setting/advicetest"
)

func apply(t *testing.T, tuner *Tuner, verdicts []setting.Verdict) *Outcome {
	t.Helper()
	o, err := tuner.Apply(verdicts, now)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestApplyAndUndo(t *testing.T) {
	w := newWorld(t)
	w.put(sysctlDropIn, "# mine\nkernel.panic = 10\nnet.core.somaxconn = 256", 0o640)
	before := w.shot()
	tuner := w.tuner(&shakyDisk{left: -1})

	p, err := tuner.Plan(wanted)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.shot(); got != before {
		t.Fatalf("a plan changed the box:\n%s", got)
	}
	if len(p.Values) != 5 || len(p.Files) != 3 || p.Empty() {
		t.Errorf("plan: %+v", p)
	}

	o := apply(t, tuner, wanted)
	if o.Failed() {
		t.Errorf("outcome: %+v", o)
	}
	for name, want := range map[string]string{
		"/proc/sys/net/core/somaxconn": "4096\n", "/proc/sys/net/ipv4/tcp_fastopen": "3\n", thpFile: "always [madvise] never\n",
	} {
		if got := w.read(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	drop := w.read(sysctlDropIn)
	if !strings.HasPrefix(drop, "# mine\nkernel.panic = 10\n# It has to be 4096 here") || !strings.Contains(drop, "\nnet.core.somaxconn = 4096\n") || strings.Contains(drop, "256") {
		t.Errorf("%s is\n%s", sysctlDropIn, drop)
	}
	if got := w.read(unitDropIn); !strings.Contains(got, "\n[Service]\n") || !strings.Contains(got, "\nLimitNOFILE=131072\n") ||
		!strings.Contains(got, "\nExecStartPre=-+/usr/lib/systemd/systemd-sysctl --prefix=/net/netfilter\n") {
		t.Errorf("%s is\n%s", unitDropIn, got)
	}
	if got := w.read(tmpDropIn); !strings.HasSuffix(got, "\nw "+thpFile+" - - - - madvise\n") {
		t.Errorf("%s is\n%s", tmpDropIn, got)
	}
	if want := []string{"systemctl daemon-reload", "systemctl restart straum"}; !slices.Equal(o.Steps, want) {
		t.Errorf("still to do is %q, want %q", o.Steps, want)
	}

	// Again: nothing, to the byte, and for a configuration that wants less, too.
	after := w.shot()
	for _, verdicts := range [][]setting.Verdict{wanted, wanted[:2], nil} {
		if o := apply(t, tuner, verdicts); !o.Plan.Empty() {
			t.Errorf("the second time: %+v", o.Plan)
		}
		if got := w.shot(); got != after {
			t.Errorf("the second time changed the box from\n%s\nto\n%s", after, got)
		}
	}

	if o, err := tuner.Undo(false); err != nil || o.Failed() || len(o.Left) > 0 {
		t.Errorf("undo: %+v, %v", o, err)
	}
	if got := w.shot(); got != before {
		t.Errorf("undo left\n%s\nbefore it was\n%s", got, before)
	}
	if o, err := tuner.Undo(false); o != nil || err != nil {
		t.Errorf("undo with nothing to undo: %+v, %v", o, err)
	}
}

// Undo goes back to before the first apply, however often it was applied.
func TestTheFirstRecordCounts(t *testing.T) {
	w := newWorld(t)
	before := w.shot()
	tuner := w.tuner(&shakyDisk{left: -1})
	apply(t, tuner, wanted[:1])
	apply(t, tuner, []setting.Verdict{verdict("net.core.somaxconn", "", "8192"), wanted[1]})
	if got := w.read(sysctlDropIn); strings.Contains(got, "4096") || !strings.Contains(got, "net.core.somaxconn = 8192") || strings.Count(got, "It has to be 8192") != 1 {
		t.Errorf("the drop-in is\n%s", got)
	}
	if _, err := tuner.Undo(false); err != nil {
		t.Fatal(err)
	}
	if got := w.shot(); got != before {
		t.Errorf("undo left\n%s\nbefore it was\n%s", got, before)
	}
}

func TestOneKeyFails(t *testing.T) {
	w := newWorld(t)
	before := w.shot()
	disk := &shakyDisk{left: -1, refuse: "tcp_fastopen", made: map[string]string{"4096": "4000"}}
	tuner := w.tuner(disk)
	o := apply(t, tuner, wanted)
	told := map[string]string{}
	for _, v := range o.Values {
		told[v.What] = v.Problem
	}
	if !o.Failed() || told["net.ipv4.tcp_fastopen"] != "cannot be written: permission denied" || told["net.core.somaxconn"] != "the kernel made it 4000" || told["net.ipv4.tcp_rmem"] != "" {
		t.Errorf("told: %q", told)
	}
	if got := w.read(sysctlDropIn); strings.Contains(got, "fastopen") || !strings.Contains(got, "tcp_rmem") {
		t.Errorf("the drop-in is\n%s", got)
	}
	if o, err := tuner.Undo(false); err != nil || o.Failed() || len(o.Left) > 0 {
		t.Errorf("undo: %+v, %v", o, err)
	}
	if got := w.shot(); got != before {
		t.Errorf("undo left\n%s\nbefore it was\n%s", got, before)
	}
}

func TestOthersAreLeft(t *testing.T) {
	w := newWorld(t)
	before := w.shot()
	tuner := w.tuner(&shakyDisk{left: -1})
	apply(t, tuner, wanted)
	w.put("/proc/sys/net/core/somaxconn", "9000\n", 0o644)
	w.put(sysctlDropIn, w.read(sysctlDropIn)+"# edited\n", 0o644)
	if err := os.Remove(filepath.Join(w.root, tmpDropIn)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it stays on record
		o, err := tuner.Undo(false)
		if err != nil || o.Failed() {
			t.Fatalf("undo: %+v, %v", o, err)
		}
		want := []Left{{"net.core.somaxconn", "128", "9000"}, {sysctlDropIn, "as recorded", "edited since"}}
		if !slices.Equal(o.Left, want) {
			t.Errorf("left are %+v, want %+v", o.Left, want)
		}
	}
	if got := w.read("/proc/sys/net/core/somaxconn") + w.read("/proc/sys/net/ipv4/tcp_fastopen"); got != "9000\n1\n" {
		t.Errorf("values are %q", got)
	}
	if o, err := tuner.Undo(true); err != nil || o.Failed() || len(o.Left) > 0 {
		t.Errorf("undo by force: %+v, %v", o, err)
	}
	if got := w.shot(); got != before {
		t.Errorf("undo by force left\n%s\nbefore it was\n%s", got, before)
	}
}

func TestRefused(t *testing.T) {
	w := newWorld(t)
	if err := os.Chmod(filepath.Join(w.root, "/proc/sys/net/core/somaxconn"), 0o444); err != nil {
		t.Fatal(err)
	}
	tuner := w.tuner(nil)
	p, err := tuner.Plan(append([]setting.Verdict{verdict("net.ipv4.tcp_migrate_req", "", "1")}, wanted...))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Refused) != 2 || p.Refused[0].Key != "net.ipv4.tcp_migrate_req" || p.Refused[1].Key != "net.core.somaxconn" || p.Refused[1].Why == "" {
		t.Errorf("refused are %+v", p.Refused)
	}
	for _, f := range p.Files {
		if strings.Contains(f.Want, "somaxconn") {
			t.Errorf("%s has what is refused:\n%s", f.Path, f.Want)
		}
	}
	if _, err := tuner.Plan([]setting.Verdict{verdict("net.core.somaxconn", "/etc/shadow", "x")}); err == nil {
		t.Error("a rule had a file written that is no setting")
	}
	w.put("/proc/self/status", "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n", 0o444)
	if p, _ = tuner.Plan(wanted); len(p.Values) != 0 {
		t.Errorf("a user may set %+v", p.Values)
	}
	tuner.AsRoot = true
	if p, _ = tuner.Plan(wanted); len(p.Values) != 4 || len(p.Refused) != 1 {
		t.Errorf("for root it would be %+v, refused %+v", p.Values, p.Refused)
	}
}

func TestDropInsThatAreNoFiles(t *testing.T) {
	w := newWorld(t)
	if err := os.Symlink("/dev/null", filepath.Join(w.root, sysctlDropIn)); err != nil {
		t.Fatal(err)
	}
	before := w.shot()
	_, err := w.tuner(nil).Apply(wanted, now)
	if err == nil || !strings.Contains(err.Error(), "is no plain file") {
		t.Errorf("error: %v", err)
	}
	if got := w.shot(); got != before {
		t.Errorf("the box changed to\n%s", got)
	}
}

// A drop-in of others that is too long to be read whole is not written back in part.
func TestDropInsThatAreTooLong(t *testing.T) {
	w := newWorld(t)
	w.put(sysctlDropIn, strings.Repeat("# mine, all mine\n", maxRead/16), 0o644)
	before := w.shot()
	if _, err := w.tuner(nil).Apply(wanted, now); err == nil || !strings.Contains(err.Error(), "is longer than 1048576 bytes") {
		t.Errorf("error: %v", err)
	}
	if got := w.shot(); got != before {
		t.Error("the box changed")
	}
}

// A listening socket takes its queue when it is made, by whatever starts the gateway.
func TestWhatHasToFollow(t *testing.T) {
	w := newWorld(t)
	if o := apply(t, w.tuner(nil), wanted[:1]); !slices.Equal(o.Steps, []string{"systemctl restart straum"}) {
		t.Errorf("with a unit: %q", o.Steps)
	}
	w = newWorld(t)
	if err := os.Remove(filepath.Join(w.root, "/etc/systemd/system/straum.service")); err != nil {
		t.Fatal(err)
	}
	if o := apply(t, w.tuner(nil), wanted[:1]); !slices.Equal(o.Steps, []string{"start the gateway anew, if it runs"}) {
		t.Errorf("without one: %q", o.Steps)
	}
}

// poked is a disk that notes the settings that are written.
type poked struct {
	osDisk
	files *[]string
}

func (p poked) Poke(name string, data []byte) error {
	*p.files = append(*p.files, filepath.Base(name))
	return p.osDisk.Poke(name, data)
}

// One setting may be good only after another: undo goes backwards.
func TestUndoGoesBackwards(t *testing.T) {
	w := newWorld(t)
	var files []string
	tuner := w.tuner(poked{files: &files})
	apply(t, tuner, wanted[:3])
	if _, err := tuner.Undo(false); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(files, " "), "somaxconn tcp_fastopen tcp_rmem tcp_rmem tcp_fastopen somaxconn"; got != want {
		t.Errorf("written were %s, want %s", got, want)
	}
}

// What undo does as root is decided by the record, so nobody but root may have written it, and it names nothing else.
func TestForgedRecords(t *testing.T) {
	for name, forge := range map[string]func(string) string{
		"another file": func(r string) string { return strings.Replace(r, sysctlDropIn, "/etc/shadow", 1) },
		"another value": func(r string) string {
			return strings.Replace(r, "/proc/sys/net/core/somaxconn", "/proc/sys/kernel/core_pattern", 1)
		},
		"another key":     func(r string) string { return strings.Replace(r, `"net.core.somaxconn"`, `"kernel.core_pattern"`, 1) },
		"a way out":       func(r string) string { return strings.Replace(r, "/etc/sysctl.d/", "/etc/sysctl.d/../", 1) },
		"another version": func(r string) string { return strings.Replace(r, `"version": 1`, `"version": 2`, 1) },
		"half of it":      func(r string) string { return r[:len(r)/2] },
		"more":            func(r string) string { return strings.Replace(r, `"version": 1`, `"version": 1, "exec": "x"`, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tuner := w.tuner(&shakyDisk{left: -1})
			apply(t, tuner, wanted)
			record := w.read(recordFile)
			forged := forge(record)
			if forged == record {
				t.Fatal("nothing was forged")
			}
			w.put(recordFile, forged, 0o600)
			before := w.shot()
			if _, err := tuner.Undo(true); err == nil {
				t.Error("undo believed it")
			}
			if _, err := tuner.Apply([]setting.Verdict{verdict("net.core.somaxconn", "", "8192")}, now); err == nil {
				t.Error("apply believed it")
			}
			if got := w.shot(); got != before {
				t.Errorf("the box changed from\n%s\nto\n%s", before, got)
			}
		})
	}
	w := newWorld(t)
	tuner := w.tuner(&shakyDisk{left: -1})
	apply(t, tuner, wanted)
	if err := os.Chmod(filepath.Join(w.root, recordFile), 0o660); err != nil {
		t.Fatal(err)
	}
	if _, err := tuner.Undo(false); err == nil || !strings.Contains(err.Error(), "nobody else may open") {
		t.Errorf("a record that others may write: %v", err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chmod(filepath.Join(w.root, recordFile), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(w.root, stateDir), 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if _, err := tuner.Undo(false); err == nil || !strings.Contains(err.Error(), "belongs to user 12345") {
			t.Errorf("a directory of another user: %v", err)
		}
	}
}

func TestOnlyOneAtATime(t *testing.T) {
	w := newWorld(t)
	tuner := w.tuner(nil)
	release, err := tuner.lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tuner.Apply(wanted, now); err != errBusy {
		t.Errorf("apply beside another: %v", err)
	}
	if _, err := tuner.Undo(false); err != errBusy { // the directory is there as long as it is locked
		t.Errorf("undo beside another: %v", err)
	}
	release()
	if _, err := tuner.Undo(false); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// What is read after ours is told, in the order of systemd.
func TestOverruled(t *testing.T) {
	w := newWorld(t)
	w.put("/etc/sysctl.d/90-mine.conf", "net/core/somaxconn=128\n-net.ipv4.tcp_fastopen = 3\n", 0o644)
	w.put("/usr/lib/sysctl.d/90-mine.conf", "net.core.somaxconn=1 # hidden by the one in /etc\n", 0o644)
	w.put("/usr/lib/sysctl.d/95-vendor.conf", "net.ipv4.tcp_rmem = 1 2 3\n;net.ipv4.tcp_fastopen = 0\n", 0o644)
	w.put("/etc/sysctl.d/10-early.conf", "net.ipv4.tcp_fastopen = 0\n", 0o644)
	w.put("/etc/sysctl.d/99-none.txt", "net.ipv4.tcp_fastopen = 0\n", 0o644)
	w.put("/etc/sysctl.conf", "net.ipv4.tcp_rmem = 4 5 6\n", 0o644)
	w.put("/etc/systemd/system/straum.service.d/70-limits.conf", "[Service]\nLimitNOFILE=1024\n", 0o644)
	p, err := w.tuner(nil).Plan(wanted)
	if err != nil {
		t.Fatal(err)
	}
	want := []Overruled{
		{"LimitNOFILE", "/etc/systemd/system/straum.service.d/70-limits.conf", "1024"},
		{"net.core.somaxconn", "/etc/sysctl.d/90-mine.conf", "128"},
		{"net.ipv4.tcp_rmem", "/etc/sysctl.conf", "4 5 6"},
	}
	if !slices.Equal(p.Overruled, want) {
		t.Errorf("overruled are\n%+v\nwant\n%+v", p.Overruled, want)
	}

	// The real one reads the same files, in this order.
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here")
	}
	text, err := exec.Command(analyze, "--root="+w.root, "cat-config", "sysctl.d").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var order []string
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "# "+w.root); ok && strings.HasSuffix(name, ".conf") {
			order = append(order, name)
		}
	}
	if want := append([]string{"/etc/sysctl.d/10-early.conf"}, w.tuner(nil).after(sysctlDirs)...); !slices.Equal(order, want) {
		t.Errorf("systemd reads %q, we %q", order, want)
	}
}

// The drop-ins are such that their readers take them: systemd's own programs are asked.
func TestDropInsAreUnderstood(t *testing.T) {
	w := newWorld(t)
	apply(t, w.tuner(&shakyDisk{left: -1}), wanted)
	for _, name := range []string{sysctlDropIn, unitDropIn, tmpDropIn} {
		advicetest.Check(t, name, w.read(name))
	}
	tmpfiles, err := exec.LookPath("systemd-tmpfiles")
	if err != nil {
		t.Skip("systemd-tmpfiles is not here")
	}
	w.put(thpFile, "always\n", 0o644)
	if text, err := exec.Command(tmpfiles, "--root="+w.root, "--create", filepath.Base(tmpDropIn)).CombinedOutput(); err != nil {
		t.Errorf("systemd-tmpfiles: %v\n%s", err, text)
	}
	if got := w.read(thpFile); strings.TrimSpace(got) != "madvise" {
		t.Errorf("systemd-tmpfiles made it %q", got)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here")
	}
	unit := filepath.Join(w.root, "/etc/systemd/system/straum.service")
	w.put("/usr/bin/straum", "#!/bin/sh\n", 0o755)
	text, _ := exec.Command(analyze, "--root="+w.root, "--man=no", "verify", unit).CombinedOutput()
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "60-straum.conf") {
			t.Errorf("systemd-analyze verify: %s", line)
		}
	}
}

func TestDiffIsAPatch(t *testing.T) {
	patch, err := exec.LookPath("patch")
	if err != nil {
		t.Skip("patch is not here")
	}
	for _, texts := range [][2]string{
		{"", "a\nb\n"}, {"a\nb\nc\n", "a\nx\nc\n"}, {"a\nb", "a\nb\nc\n"}, {"one\ntwo\nthree\nfour\n", "zero\ntwo\nfour\nfive\n"},
	} {
		dir := t.TempDir()
		name := filepath.Join(dir, "f")
		f := File{Path: "f", There: texts[0] != "", Is: texts[0], Want: texts[1]}
		if f.There {
			if err := os.WriteFile(name, []byte(texts[0]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		c := exec.Command(patch, "-p0", "--quiet")
		c.Dir, c.Stdin = dir, strings.NewReader(f.Diff())
		if text, err := c.CombinedOutput(); err != nil {
			t.Errorf("patch: %v\n%s\n%s", err, text, f.Diff())
		}
		if got, _ := os.ReadFile(name); string(got) != texts[1] {
			t.Errorf("patched is %q, want %q; the diff is\n%s", got, texts[1], f.Diff())
		}
	}
}
