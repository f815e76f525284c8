package tune

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/setting"
	"straum.dev/straum/internal/config"
)

// own are settings that each network namespace has for itself, with a value that a recipe might have left.
var own = map[string]string{
	"net.core.somaxconn":                 "128",
	"net.ipv4.tcp_max_syn_backlog":       "128",
	"net.ipv4.tcp_syncookies":            "0",
	"net.ipv4.tcp_fastopen":              "1",
	"net.ipv4.ip_local_port_range":       "32768 40000",
	"net.ipv4.ip_local_reserved_ports":   "",
	"net.ipv4.tcp_slow_start_after_idle": "1",
	"net.ipv4.tcp_congestion_control":    "reno", // which any namespace may have
	"net.ipv4.tcp_rmem":                  "4096 131072 200000",
	"net.ipv4.tcp_wmem":                  "4096 16384 100000",
	"net.ipv4.tcp_mtu_probing":           "0",
	"net.ipv4.tcp_timestamps":            "0",
	"net.ipv4.tcp_sack":                  "0",
	"net.ipv4.tcp_window_scaling":        "0",
	"net.ipv4.tcp_moderate_rcvbuf":       "0",
}

const inNamespace = "STRAUM_TUNE_NAMESPACE"

// The real kernel: the test runs itself in a network namespace of its own, and sets, reads and puts back the settings that are the
// namespace's there. Those of the box are not touched.
func TestRealKernel(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		inTheNamespace(t)
		return
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("unshare is not here")
	}
	if err := exec.Command(unshare, "--net", "true").Run(); err != nil {
		t.Skip("network namespaces cannot be made here: " + err.Error())
	}
	before := values(t)
	c := exec.Command(unshare, "--net", os.Args[0], "-test.run=^TestRealKernel$", "-test.v")
	c.Env = append(os.Environ(), inNamespace+"=1")
	text, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(text), "--- PASS: TestRealKernel") {
		t.Fatalf("in the namespace: %v\n%s", err, text)
	}
	if after := values(t); after != before {
		t.Errorf("the settings of the box itself changed from\n%s\nto\n%s", before, after)
	}
}

// values are those of own, byte for byte.
func values(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, r := range setting.Rules() {
		if _, ok := own[r.Key]; !ok {
			continue
		}
		data, err := os.ReadFile(box.Sysctl(r.Key))
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(r.Key + " is " + string(data))
	}
	return b.String()
}

func inTheNamespace(t *testing.T) {
	m := box.Here()
	for key, value := range own {
		if err := os.WriteFile(box.Sysctl(key), []byte(value+"\n"), 0); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	before := values(t)
	c, err := config.Parse("test.yaml", []byte(`
listeners: [{ address: ":35000", backlog: 10000 }]
upstreams: { a: { endpoints: ["10.0.0.1:80", "127.0.0.1:33333"], pool: { connections: 50000 } } }
routes: [{ match: { path: /* }, upstream: a }]
`), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	judge := func() (all []setting.Verdict) {
		s := &setting.Sight{Machine: m, Facts: m.Facts(), Workload: setting.Asked(c)}
		for _, r := range setting.Rules() {
			if _, ok := own[r.Key]; ok {
				all = append(all, r.Judge(s))
			}
		}
		return all
	}
	root := t.TempDir()
	for _, dir := range []string{"/etc/sysctl.d", "/var/lib"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tuner := &Tuner{Machine: m, Root: root}
	o, err := tuner.Apply(judge(), now)
	if err != nil || o.Failed() || len(o.Plan.Refused) > 0 {
		t.Fatalf("apply: %+v, refused %+v, %v", o, o.Plan.Refused, err)
	}
	if len(o.Values) < len(own)-1 { // bbr is proposed where segments get lost
		t.Errorf("set were %+v", o.Values)
	}
	for key, want := range map[string]string{
		"net.core.somaxconn": "10000", "net.ipv4.tcp_fastopen": "3", "net.ipv4.ip_local_port_range": "10240 65535", "net.ipv4.tcp_sack": "1",
		"net.ipv4.ip_local_reserved_ports": "33333,35000",
	} {
		if got, err := m.Read(box.Sysctl(key)); err != nil || !same(got, want) {
			t.Errorf("%s is %q, want %q; %v", key, got, want, err)
		}
	}
	if again, err := tuner.Apply(judge(), now); err != nil || !again.Plan.Empty() {
		t.Errorf("the second time there is to do %+v, %v", again.Plan, err)
	}

	// What the drop-in says is what systemd makes of it: all is set to what was, and then systemd reads our file.
	after := values(t)
	for key, value := range own {
		if err := os.WriteFile(box.Sysctl(key), []byte(value+"\n"), 0); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	if values(t) != before {
		t.Fatal("the values could not be put back by hand")
	}
	const program = "/usr/lib/systemd/systemd-sysctl"
	if _, err := os.Stat(program); err == nil {
		if text, err := exec.Command(program, filepath.Join(root, sysctlDropIn)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", program, err, text)
		}
		if got := values(t); got != after {
			t.Errorf("systemd made of the drop-in\n%s\nwe\n%s", got, after)
		}
	} else if _, err := tuner.Apply(judge(), now); err != nil {
		t.Fatal(err)
	}

	if o, err := tuner.Undo(false); err != nil || o.Failed() || len(o.Left) > 0 {
		t.Errorf("undo: %+v, %v", o, err)
	}
	if got := values(t); got != before {
		t.Errorf("undo left\n%s\nbefore it was\n%s", got, before)
	}
	for _, name := range []string{sysctlDropIn, recordFile, stateDir} {
		if _, err := os.Lstat(filepath.Join(root, name)); !os.IsNotExist(err) {
			t.Errorf("%s is still there", name)
		}
	}
}
