package sandbox

import (
	"os"
	"path/filepath"
	"testing"
)

func TestBeneath(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "state/sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "states"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "state"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, above string
		want        bool
	}{
		{"state", "state", true}, {"state/sub", "state", true}, {"link/sub", "state", true}, {"state/sub", "link", true},
		{"states", "state", false}, {"state", "state/sub", false}, {"gone", "state", false}, {"state", "gone", false},
	} {
		if got := beneath(filepath.Join(dir, c.path), filepath.Join(dir, c.above)); got != c.want {
			t.Errorf("%s beneath %s: found %t, want %t", c.path, c.above, got, c.want)
		}
	}
	if !beneath(dir, "/") {
		t.Error("nothing is beneath the root")
	}
}

func TestVerifyThread(t *testing.T) {
	f := &InForce{NoNewPrivileges: true}
	want := held{effective: 0x400, permitted: 0x400}
	const good = "Name:\tstraum\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000400\nCapEff:\t0000000000000400\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t1\n"
	if err := f.verifyThread(good, want); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		"CapPrm:\t0000000000000400\nCapEff:\t0000000000000400\nNoNewPrivs:\t0\n",
		"CapPrm:\t000001ffffffffff\nCapEff:\t0000000000000400\nNoNewPrivs:\t1\n",
		"CapPrm:\t0000000000000400\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n",
		"CapInh:\t0000000000000400\nNoNewPrivs:\t1\n",
		"CapEff:\tall\n",
	} {
		if err := f.verifyThread(bad, want); err == nil {
			t.Errorf("%q was taken for a thread in the sandbox", bad)
		}
	}
}

func TestSetWords(t *testing.T) {
	if got := set(1<<10 | 1<<12 | 1<<60).words(); len(got) != 3 || got[0] != "CAP_NET_BIND_SERVICE" || got[1] != "CAP_NET_ADMIN" || got[2] != "capability 60" {
		t.Errorf("found %v", got)
	}
	if len(names) != 41 {
		t.Errorf("found %d names, want those of capabilities(7)", len(names))
	}
}
