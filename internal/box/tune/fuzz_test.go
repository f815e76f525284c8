package tune

import (
	"strings"
	"testing"
)

// FuzzDropIn: whatever somebody has in the file, what we write is read back as ours, a second time changes nothing, and the diff leads from one
// text to the other.
func FuzzDropIn(f *testing.F) {
	f.Add(0, "# mine\nnet.core.somaxconn = 1\n", "net.core.somaxconn", "4096")
	f.Add(0, "-net/core/somaxconn=1", "net.core.somaxconn", "4096")
	f.Add(1, "[Unit]\nLimitNOFILE=1\n[Service]", "LimitNOFILE", "131072")
	f.Add(2, "w /sys/a - - - - b", "thp", "madvise")
	f.Fuzz(func(t *testing.T, which int, text, key, value string) {
		if which < 0 || which >= len(dropIns) || strings.ContainsAny(key+value, "=\n\r#;[-/") || len(strings.Fields(key)) != 1 || len(strings.Fields(value)) != 1 {
			return
		}
		d := &dropIns[which]
		l := line{key: strings.TrimSpace(key), value: strings.TrimSpace(value), file: []string{"/proc/sys/x", unitDropIn, "/sys/x"}[which], why: "because"}
		wantKey, wantValue, ok := d.read(d.write(l))
		if !ok || key == "ExecStartPre" {
			return
		}
		edited := d.edit(text, []line{l})
		if again := d.edit(edited, []line{l}); again != edited {
			t.Errorf("again it is\n%q, not\n%q", again, edited)
		}
		last := ""
		for x := range strings.Lines(edited) {
			if k, v, ok := d.read(x); ok && k == wantKey {
				last = v
			}
		}
		if !same(last, wantValue) {
			t.Errorf("%q sets %q, not %q", edited, last, wantValue)
		}
		var from, to strings.Builder
		for _, s := range steps(split(text), split(edited)) {
			if s.mark != '+' {
				from.WriteString(s.line)
			}
			if s.mark != '-' {
				to.WriteString(s.line)
			}
		}
		if from.String() != text || to.String() != edited {
			t.Errorf("the diff leads from %q to %q", from.String(), to.String())
		}
	})
}
