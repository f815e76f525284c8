package tune

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/box/setting"
)

// drawWorld is a box with any values and drop-ins.
func drawWorld(t *rapid.T, root string) aWorld {
	w := aWorld{root, t}
	w.install()
	value := func(name string, of ...string) {
		w.put(name, rapid.SampledFrom(of).Draw(t, name), 0o644)
	}
	value("/proc/sys/net/core/somaxconn", "128\n", "4096\n", "65535\n", "128")
	value("/proc/sys/net/ipv4/tcp_fastopen", "0\n", "1\n", "3\n")
	value("/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t262144\n", "4096 131072 6291456\n")
	value(thpFile, "[always] madvise never\n", "always [madvise] never\n", "always madvise [never]\n")
	texts := []string{"", "\n", "# only a comment", "kernel.panic = 1\n", "net.core.somaxconn = 256\nnet.core.somaxconn=257", "[Service]\nLimitNOFILE=7\n[Unit]\nDescription=x\n", "w " + thpFile + " - - - - never\n", "\x00\xff\r\n"}
	for _, name := range []string{sysctlDropIn, unitDropIn, tmpDropIn} {
		switch rapid.SampledFrom([]string{"none", "no directory", "a file"}).Draw(t, name) {
		case "a file":
			w.put(name, rapid.SampledFrom(texts).Draw(t, "text of "+name), rapid.SampledFrom([]os.FileMode{0o644, 0o600, 0o640}).Draw(t, "mode of "+name))
		case "no directory":
			_ = os.Remove(filepath.Dir(filepath.Join(root, name)))
		}
	}
	return w
}

func drawVerdicts(t *rapid.T, name string) (all []setting.Verdict) {
	for _, v := range wanted {
		if rapid.Bool().Draw(t, name+" "+v.ID) {
			if v.ID == "net.core.somaxconn" {
				v = verdict(v.ID, "", rapid.SampledFrom([]string{"4096", "8192"}).Draw(t, name+" value"))
			}
			all = append(all, v)
		}
	}
	return all
}

// Whatever a box is like, and wherever runs break off: undo brings back each byte, and apply a second time does nothing.
func TestUndoIsExact(t *testing.T) {
	dir := quick(t)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		root := filepath.Join(dir, strconv.Itoa(run))
		defer os.RemoveAll(root)
		w := drawWorld(t, root)
		before := w.shot()
		made := map[string]string{}
		if rapid.Bool().Draw(t, "the kernel rounds") {
			made["8192"] = "8190"
		}
		disk := func(name string) *shakyDisk {
			d := &shakyDisk{left: -1, made: made, torn: rapid.Bool().Draw(t, name+" torn")}
			if rapid.Bool().Draw(t, name+" breaks off") {
				d.left = rapid.IntRange(0, 25).Draw(t, name+" breaks off after")
			}
			return d
		}
		for i := range rapid.IntRange(1, 3).Draw(t, "runs") {
			name := "run " + strconv.Itoa(i)
			d := disk(name)
			verdicts := drawVerdicts(t, name)
			tuner := w.tuner(d)
			o, err := tuner.Apply(verdicts, now)
			if err != nil && !errors.Is(err, errBroken) {
				t.Fatal(err)
			}
			if err != nil || o.Failed() || d.left == 0 {
				continue
			}
			after := w.shot()
			again := &shakyDisk{left: -1, made: made}
			o, err = w.tuner(again).Apply(verdicts, now)
			if err != nil || !o.Plan.Empty() || again.steps > 0 || w.shot() != after {
				t.Fatalf("apply did %d steps the second time: %+v, %v", again.steps, o.Plan, err)
			}
		}
		for range rapid.IntRange(0, 2).Draw(t, "undos that break off") {
			if _, err := w.tuner(disk("undo")).Undo(false); err != nil && !errors.Is(err, errBroken) {
				t.Fatal(err)
			}
		}
		if o, err := w.tuner(&shakyDisk{left: -1, made: made}).Undo(false); err != nil || o != nil && (o.Failed() || len(o.Left) > 0) {
			t.Fatalf("undo: %+v, %v", o, err)
		}
		if got := w.shot(); got != before {
			t.Fatalf("undo left\n%s\nbefore it was\n%s", got, before)
		}
	})
}

// Every step of a run and of its undo, one by one.
func TestPowerGoesOutAnywhere(t *testing.T) {
	dir := quick(t)
	for left := 0; ; left++ {
		w := aWorld{filepath.Join(dir, strconv.Itoa(left)), t}
		w.install()
		before := w.shot()
		d := &shakyDisk{left: left, torn: true, made: map[string]string{"4096": "4000"}}
		_, err := w.tuner(d).Apply(wanted, now)
		finished := err == nil && d.left > 0
		for undo := 0; undo < 30; undo++ {
			d := &shakyDisk{left: undo, torn: true}
			if o, err := w.tuner(d).Undo(false); err == nil && (o == nil || !o.Failed()) && d.left > 0 {
				break
			}
		}
		if o, err := w.tuner(&shakyDisk{left: -1}).Undo(false); err != nil || o != nil {
			t.Fatalf("%d steps: undo has more to do: %+v, %v", left, o, err)
		}
		if got := w.shot(); got != before {
			t.Fatalf("%d steps: undo left\n%s\nbefore it was\n%s", left, got, before)
		}
		if finished {
			return
		}
	}
}
