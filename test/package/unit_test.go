package packaged

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const (
	unitFile    = "../../packaging/systemd/straum.service"
	starterFile = "../../packaging/straum.yaml"
	installPage = "../../docs/install.md"
)

// systemd's own judge gives the unit the exposure that docs/install.md states, from 0 to 10, or less.
func TestExposure(t *testing.T) {
	need(t, "systemd-analyze")
	stated := regexp.MustCompile(`exposure of (\d+\.\d)`).FindStringSubmatch(read(t, installPage))
	if stated == nil {
		t.Fatal("docs/install.md states no exposure")
	}
	out := output(t, "systemd-analyze", "security", "--offline=yes", "--no-pager", unitFile)
	found := regexp.MustCompile(`Overall exposure level for straum.service: (\d+\.\d)`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("systemd-analyze says %s", out)
	}
	is, _ := strconv.ParseFloat(found[1], 64)
	most, _ := strconv.ParseFloat(stated[1], 64)
	if is > most || is < most-0.3 { // versions of systemd differ a little
		t.Errorf("the exposure is %v, docs/install.md states %v:\n%s", is, most, out)
	}
}

// The drop-ins that docs/install.md shows are understood beside the unit.
func TestDropIns(t *testing.T) {
	need(t, "systemd-analyze")
	blocks := regexp.MustCompile("(?s)```ini\n(.*?)```").FindAllStringSubmatch(read(t, installPage), -1)
	if len(blocks) < 3 {
		t.Errorf("found %d drop-ins in docs/install.md; are they written otherwise now?", len(blocks))
	}
	dir := t.TempDir()
	unit := strings.ReplaceAll(read(t, unitFile), "/usr/bin/straum", "/bin/true") // it is not installed here, nor is its manual
	unit = regexp.MustCompile(`(?m)^Documentation=.*\n`).ReplaceAllString(unit, "")
	for i, b := range blocks {
		text := b[1]
		if strings.Contains(text, "ExecStart=") {
			continue
		}
		if err := os.MkdirAll(filepath.Join(dir, "straum.service.d"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "straum.service"), []byte(unit), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "straum.service.d", strconv.Itoa(i)+".conf"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command("systemd-analyze", "verify", filepath.Join(dir, "straum.service"))
	c.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	if out, err := c.CombinedOutput(); err != nil || strings.Contains(string(out), "straum.service") {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}

// The configurations that packages and the image bring are good.
func TestConfigurations(t *testing.T) {
	d := packages(t)
	need(t, "dpkg-deb")
	program := binary(t, d)
	for _, file := range []string{starterFile, "../../packaging/docker/straum.yaml", "../../packaging/compose/straum.yaml"} {
		out, err := exec.Command(program, "check", "-c", file).CombinedOutput()
		if err != nil || strings.Contains(string(out), "warning") {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
	// What it tells to uncomment is good, too.
	text := read(t, starterFile)
	text = regexp.MustCompile(`(?m)^(\s*)#(\s+(?:- )?(?:upstreams:|api:|endpoints:|health:|name: api|match:|upstream:|\{ address).*)$`).ReplaceAllStringFunc(text, func(line string) string {
		return strings.Replace(line, "# ", "", 1)
	})
	text = strings.Replace(text, "    - { address", "  - { address", 2)
	file := filepath.Join(t.TempDir(), "straum.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "check", "-c", file).CombinedOutput(); err != nil || !strings.Contains(string(out), "3 listeners, 2 routes, 1 upstream") {
		t.Errorf("uncommented: %v\n%s\n%s", err, out, text)
	}
}
