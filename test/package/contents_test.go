package packaged

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What every package has, with the mode it has there; the owner is root, and in a .deb the rest is up to its scripts.
var contents = map[string]string{
	"/usr/bin/straum":                                   "-rwxr-xr-x",
	"/usr/lib/systemd/system/straum.service":            "-rw-r--r--",
	"/usr/lib/sysusers.d/straum.conf":                   "-rw-r--r--",
	"/usr/share/man/man1/straum.1.gz":                   "-rw-r--r--",
	"/usr/share/man/man1/straum-run.1.gz":               "-rw-r--r--",
	"/usr/share/bash-completion/completions/straum":     "-rw-r--r--",
	"/usr/share/fish/vendor_completions.d/straum.fish":  "-rw-r--r--",
	"/usr/share/doc/straum/copyright":                   "-rw-r--r--",
	"/usr/share/doc/straum/changelog.gz":                "-rw-r--r--",
	"/usr/share/doc/straum/third-party-licences.txt.gz": "-rw-r--r--",
	"/usr/share/doc/straum/sbom.cdx.json.gz":            "-rw-r--r--",
	"/usr/share/doc/straum/docs/install.md":             "-rw-r--r--",
	"/usr/share/doc/straum/examples/full.yaml":          "-rw-r--r--",
}

func TestDeb(t *testing.T) {
	deb := one(t, packages(t), "*.deb")
	need(t, "dpkg-deb")
	have := map[string]string{}
	for line := range strings.Lines(output(t, "dpkg-deb", "-c", deb)) {
		f := strings.Fields(line)
		name := strings.TrimSuffix(strings.TrimPrefix(f[5], "."), "/")
		have[name] = f[0]
		if f[1] != "root/root" {
			t.Errorf("%s belongs to %s, want root/root", name, f[1])
		}
		if f[3] != "2023-11-14" {
			t.Errorf("%s is of %s, want the time of the commit", name, f[3])
		}
	}
	for name, mode := range contents {
		if have[name] != mode {
			t.Errorf("%s has mode %q, want %q", name, have[name], mode)
		}
	}
	for name, mode := range map[string]string{"/etc/straum/straum.yaml": "-rw-r--r--", "/etc/straum/conf.d": "drwxr-xr-x", "/usr/share/zsh/vendor-completions/_straum": "-rw-r--r--"} {
		if have[name] != mode {
			t.Errorf("%s has mode %q, want %q", name, have[name], mode)
		}
	}
	if have["/var/lib/straum"] != "" || have["/usr/share/doc"] == "" {
		t.Errorf("state is made by postinst, and folders are listed: found %q and %q", have["/var/lib/straum"], have["/usr/share/doc"])
	}
	for field, want := range map[string]string{"Package": "straum", "Version": newVersion, "Architecture": "amd64", "Depends": "", "Recommends": "ca-certificates", "Section": "net"} {
		if got := strings.TrimSpace(output(t, "dpkg-deb", "-f", deb, field)); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if conf := output(t, "dpkg-deb", "-I", deb, "conffiles"); strings.TrimSpace(conf) != "/etc/straum/straum.yaml" {
		t.Errorf("the conffiles are %q", conf)
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		file := filepath.Join(t.TempDir(), script)
		if err := os.WriteFile(file, []byte(output(t, "dpkg-deb", "-I", deb, script)), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("/bin/sh", "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}

// Debian's own judge finds nothing wrong; what it would find is overridden in the package, with the reason. It comes with a hundred packages, so CI
// does without.
func TestLintian(t *testing.T) {
	deb := one(t, packages(t), "*.deb")
	need(t, "lintian")
	c := exec.Command("lintian", "--fail-on", "error,warning", "--tag-display-limit", "0", "--allow-root",
		"--suppress-tags", "uses-no-compression-for-data-tarball", deb) // as only the tests build it
	if out, err := c.CombinedOutput(); err != nil || bytes.Contains(out, []byte("W: ")) {
		t.Errorf("lintian: %v\n%s", err, out)
	}
}

func TestRPM(t *testing.T) {
	d := packages(t)
	need(t, "rpm", "dpkg-deb")
	rpm := one(t, d, "*.rpm")
	query := func(args ...string) string {
		return output(t, "rpm", append([]string{"--nosignature", "-qp", rpm}, args...)...)
	}
	if got, want := query("--qf", "%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{LICENSE} %{BUILDHOST} %{BUILDTIME}"), "straum 0.10.0 1 x86_64 Apache-2.0 straum.dev 1700000000"; got != want {
		t.Errorf("the header says %q, want %q", got, want)
	}
	have := map[string]string{}
	for line := range strings.Lines(query("--qf", "[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME}\n]")) {
		f := strings.Fields(line)
		have[f[0]] = f[1] + " " + f[2]
	}
	for name, mode := range contents {
		if have[name] != mode+" root:root" {
			t.Errorf("%s is %q, want %q", name, have[name], mode+" root:root")
		}
	}
	for name, want := range map[string]string{
		"/etc/straum":                            "drwxr-x--- root:straum",
		"/etc/straum/straum.yaml":                "-rw-r----- root:straum",
		"/etc/straum/conf.d":                     "drwxr-x--- root:straum",
		"/var/lib/straum":                        "drwx------ straum:straum",
		"/var/log/straum":                        "drwxr-x--- straum:straum",
		"/usr/share/licenses/straum/LICENSE":     "-rw-r--r-- root:root",
		"/usr/share/zsh/site-functions/_straum":  "-rw-r--r-- root:root",
		"/usr/share/zsh/vendor-completions":      "",
		"/usr/share/lintian/overrides/straum":    "",
		"/usr/share/man/man1/straum-status.1.gz": "-rw-r--r-- root:root",
	} {
		if have[name] != want {
			t.Errorf("%s is %q, want %q", name, have[name], want)
		}
	}
	if conf := query("--configfiles"); strings.TrimSpace(conf) != "/etc/straum/straum.yaml" {
		t.Errorf("the configuration files are %q", conf)
	}
	scripts := query("--scripts")
	for _, want := range []string{"preinstall scriptlet", "postinstall scriptlet", "preuninstall scriptlet", "postuninstall scriptlet", "useradd --system"} {
		if !strings.Contains(scripts, want) {
			t.Errorf("the scripts lack %q", want)
		}
	}
	// The same program is in both, and the payload can be unpacked.
	unpack := exec.Command("/bin/sh", "-c", `rpm2cpio "$0" | cpio -idm --quiet --no-absolute-filenames '*usr/bin/straum'`, rpm)
	unpack.Dir = t.TempDir()
	if _, err := exec.LookPath("cpio"); err != nil {
		return
	}
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("rpm2cpio: %v\n%s", err, out)
	}
	if read(t, filepath.Join(unpack.Dir, "usr/bin/straum")) != read(t, binary(t, d)) {
		t.Error("the .rpm and the .deb have different programs")
	}
}

func TestArchive(t *testing.T) {
	d := packages(t)
	archive := one(t, d, "*.tar.gz")
	if filepath.Base(archive) != "straum-0.10.0-linux-amd64.tar.gz" {
		t.Errorf("the archive is %s", filepath.Base(archive))
	}
	listed := output(t, "tar", "-tvzf", archive)
	for _, want := range []string{"straum", "LICENSE", "straum.service", "straum.yaml", "man/straum.1.gz", "completions/_straum", "third-party-licences.txt.gz"} {
		if !regexp.MustCompile(`(?m)^-rw.r-.r-. 0/0 .* straum-0\.10\.0-linux-amd64/` + regexp.QuoteMeta(want) + `$`).MatchString(listed) {
			t.Errorf("the archive lacks %s, or it is not everybody's to read", want)
		}
	}
}

// binary unpacks the program of the .deb.
func binary(t *testing.T, dist string) string {
	t.Helper()
	dir := t.TempDir()
	output(t, "dpkg-deb", "-x", one(t, dist, "*.deb"), dir)
	return filepath.Join(dir, "usr/bin/straum")
}

// The program says what it is, needs nothing, and knows no path of the machine it was built on.
func TestBinary(t *testing.T) {
	d := packages(t)
	need(t, "dpkg-deb")
	path := binary(t, d)
	if got, want := output(t, path, "version"), "straum v"+newVersion+"\ncommit "+commit+"\n"; !strings.HasPrefix(got, want) {
		t.Errorf("it says %q, want %q", got, want)
	}
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Error("it is not static")
		}
	}
	data := []byte(read(t, path))
	home, _ := os.UserHomeDir()
	tree, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []string{tree, built.dir, home + "/go", strings.TrimSpace(output(t, "go", "env", "GOMODCACHE"))} {
		if bytes.Contains(data, []byte(of)) {
			t.Errorf("it names %s, a path of the machine it was built on", of)
		}
	}
}

// The bill of materials has all that the program is linked of, no more, each with its version, the sum of go.sum and a licence.
func TestBillOfMaterials(t *testing.T) {
	d := packages(t)
	need(t, "dpkg-deb")
	path := binary(t, d)
	var bill struct {
		BOMFormat, SpecVersion, SerialNumber string
		Metadata                             struct {
			Timestamp string
			Component struct {
				Name, Version, PURL string
				Hashes              []struct{ Alg, Content string }
			}
		}
		Components []struct {
			Type, Name, Version, PURL string
			BOMRef                    string `json:"bom-ref"`
			Hashes                    []struct{ Alg, Content string }
			Licenses                  []struct {
				License    struct{ ID string }
				Expression string
			}
		}
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal([]byte(read(t, one(t, d, "*.cdx.json"))), &bill); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(read(t, path)))
	self := bill.Metadata.Component
	if bill.BOMFormat != "CycloneDX" || bill.SpecVersion != "1.6" || bill.Metadata.Timestamp != "2023-11-14T22:13:20Z" ||
		!regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(bill.SerialNumber) {
		t.Errorf("its head is %+v", bill)
	}
	if self.Name != "straum" || self.Version != newVersion || len(self.Hashes) != 1 || self.Hashes[0].Content != hex.EncodeToString(sum[:]) {
		t.Errorf("it is of %+v, want straum %s with sum %x", self, newVersion, sum)
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"std": strings.TrimPrefix(info.GoVersion, "go")}
	for _, m := range info.Deps {
		want[m.Path] = m.Version
	}
	refs := map[string]bool{}
	for _, c := range bill.Components {
		if want[c.Name] != c.Version {
			t.Errorf("it has %s %s, the program has %q", c.Name, c.Version, want[c.Name])
		}
		delete(want, c.Name)
		if c.Name != "std" && (len(c.Hashes) != 1 || len(c.Hashes[0].Content) != 64) {
			t.Errorf("%s has no sum", c.Name)
		}
		if len(c.Licenses) != 1 || c.Licenses[0].Expression == "" && c.Licenses[0].License.ID == "" {
			t.Errorf("the licence of %s is not known: tell scripts/sbom/licence.go its words", c.Name)
		}
		if refs[c.BOMRef] || !strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@") {
			t.Errorf("%s has the reference %s and the URL %s", c.Name, c.BOMRef, c.PURL)
		}
		refs[c.BOMRef] = true
	}
	for name, version := range want {
		t.Errorf("it lacks %s %s", name, version)
	}
	if len(bill.Dependencies) != 1 || len(bill.Dependencies[0].DependsOn) != len(bill.Components) {
		t.Errorf("not all stand below the program: %d of %d", len(bill.Dependencies[0].DependsOn), len(bill.Components))
	}
}

// The licences go along, of all.
func TestLicencesGoAlong(t *testing.T) {
	d := packages(t)
	need(t, "dpkg-deb", "zcat")
	path := binary(t, d)
	texts := output(t, "zcat", filepath.Join(filepath.Dir(path), "../share/doc/straum/third-party-licences.txt.gz"))
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for lines := bufio.NewScanner(strings.NewReader(texts)); lines.Scan(); {
		name, _, _ := strings.Cut(lines.Text(), " ")
		named[name] = true
	}
	for _, m := range info.Deps {
		if !named[m.Path] {
			t.Errorf("the licence of %s is missing", m.Path)
		}
	}
	if !named["Go"] || !strings.Contains(texts, "The Go Authors") {
		t.Error("the licence of Go is missing")
	}
}
