package tls

import (
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"straum.dev/straum/test/gateway"
)

var update = flag.Bool("update", false, "rewrite docs/tls-scan.md")

// summary is where the outcome is kept for people.
const summary = "../../docs/tls-scan.md"

// profiles are what is scanned, the first the default.
var profiles = []string{"intermediate", "modern"}

// finding is one of testssl.sh.
type finding struct {
	ID, Severity, Finding string
}

// sslscan is what its report tells.
type sslscan struct {
	Protocols []struct {
		Kind    string `xml:"type,attr"`
		Version string `xml:"version,attr"`
		Enabled int    `xml:"enabled,attr"`
	} `xml:"ssltest>protocol"`
	Renegotiation []struct {
		Supported int `xml:"supported,attr"`
	} `xml:"ssltest>renegotiation"`
	Heartbleed []struct {
		Vulnerable int `xml:"vulnerable,attr"`
	} `xml:"ssltest>heartbleed"`
	Ciphers []struct {
		Version  string `xml:"sslversion,attr"`
		Cipher   string `xml:"cipher,attr"`
		Strength string `xml:"strength,attr"`
	} `xml:"ssltest>cipher"`
	Groups []struct {
		Version string `xml:"sslversion,attr"`
		Name    string `xml:"name,attr"`
	} `xml:"ssltest>group"`
}

// TestScan has two programs that look for weaknesses look at both profiles: they find none. With -update their findings are written to
// docs/tls-scan.md; without it they are held against it, if it was written by the same versions.
func TestScan(t *testing.T) {
	t.Parallel()
	program(t, "openssl")
	testssl := program(t, "testssl")
	program(t, "sslscan")
	var versions string
	if _, out := run(t, "", "sslscan", "--version"); true {
		versions = "sslscan " + must(t, out, `(\d+\.\d+\.\d+)`)
	}
	if _, out := run(t, "", testssl, "--version"); true {
		versions = "testssl.sh " + must(t, out, `testssl\s+(\d[\w.]*)`) + " and " + versions
	}
	a := gateway.NewAuthority(t)
	found := make([][]finding, len(profiles))
	seen := make([]sslscan, len(profiles))
	var all sync.WaitGroup
	for i, profile := range profiles {
		f := open(t, showing(a.Issue([]string{"localhost", "127.0.0.1"}), a.Issue([]string{"localhost", "127.0.0.1"}, gateway.RSA))+", profile: "+profile)
		dir := t.TempDir()
		all.Go(func() { found[i] = testSSL(t, testssl, f.addr, dir) })
		all.Go(func() { seen[i] = scan(t, f.addr, dir) })
	}
	all.Wait()
	if t.Failed() {
		return
	}
	text := tell(versions, found, seen)
	old, err := os.ReadFile(summary)
	switch {
	case *update:
		if err := os.WriteFile(summary, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	case err != nil:
		t.Error(err)
	case !strings.Contains(string(old), versions):
		t.Logf("docs/tls-scan.md was not written by %s: it is not compared", versions)
	case string(old) != text:
		t.Errorf("docs/tls-scan.md tells something else; go test ./test/tls -run Scan -update writes what is found now:\n%s", text)
	}
}

// testSSL runs testssl.sh and judges what it finds: whatever is neither good nor without meaning is a weakness.
func testSSL(t *testing.T, program, addr, dir string) (all []finding) {
	report := filepath.Join(dir, "testssl.json")
	_, out := run(t, "", program, "--quiet", "--color", "0", "--warnings", "off", "--openssl", "/usr/bin/openssl", "--ip", "one", "--nodns", "min", "--jsonfile", report,
		"-p", "-P", "-s", "-f", "-U", addr)
	text, err := os.ReadFile(report)
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil || len(all) < 30 {
		t.Errorf("testssl.sh has no report: %v\n%s", err, out)
	}
	for _, f := range all {
		if f.Severity != "OK" && f.Severity != "INFO" {
			t.Errorf("%s: testssl.sh finds %s %s: %s", addr, f.Severity, f.ID, f.Finding)
		}
	}
	return all
}

// scan runs sslscan and judges what it sees.
func scan(t *testing.T, addr, dir string) (seen sslscan) {
	report := filepath.Join(dir, "sslscan.xml")
	_, out := run(t, "", "sslscan", "--no-colour", "--show-certificate", "--xml="+report, addr)
	text, err := os.ReadFile(report)
	if err == nil {
		err = xml.Unmarshal(text, &seen)
	}
	if err != nil || len(seen.Protocols) != 6 || len(seen.Ciphers) == 0 || len(seen.Groups) == 0 {
		t.Errorf("sslscan has no report: %v\n%s", err, out)
	}
	for _, p := range seen.Protocols {
		if p.Enabled != 0 && p.Version != "1.2" && p.Version != "1.3" {
			t.Errorf("%s: %s %s is spoken", addr, p.Kind, p.Version)
		}
	}
	for _, c := range seen.Ciphers {
		if c.Strength != "strong" && c.Strength != "acceptable" || !strings.HasPrefix(c.Cipher, "TLS_") && !strings.HasPrefix(c.Cipher, "ECDHE-") {
			t.Errorf("%s: %s of %s is %s", addr, c.Cipher, c.Version, c.Strength)
		}
	}
	for _, h := range seen.Heartbleed {
		if h.Vulnerable != 0 {
			t.Errorf("%s: heartbleed", addr)
		}
	}
	for _, r := range seen.Renegotiation {
		if r.Supported != 0 {
			t.Errorf("%s: it renegotiates", addr)
		}
	}
	return seen
}

// tell writes down what was found, in an order that does not depend on the machine.
func tell(versions string, found [][]finding, seen []sslscan) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# What scanners find

The offers of both profiles, as %s see them, with an ECDSA (P-256) and an RSA (2048) certificate
for the same name. Nothing is found that they call weak. A test scans anew each time; `+"`go test ./test/tls -run Scan -update`"+` writes this page.

`, versions)
	fmt.Fprintf(&b, "| | %s |\n|---|%s\n", strings.Join(profiles, " | "), strings.Repeat("---|", len(profiles)))
	row := func(name string, of func(i int) string) {
		cells := make([]string, len(profiles))
		for i := range profiles {
			cells[i] = of(i)
		}
		fmt.Fprintf(&b, "| %s | %s |\n", name, strings.Join(cells, " | "))
	}
	row("versions", func(i int) string {
		var all []string
		for _, p := range seen[i].Protocols {
			if p.Enabled != 0 {
				all = append(all, strings.ToUpper(p.Kind)+" "+p.Version)
			}
		}
		return strings.Join(all, ", ")
	})
	for _, version := range []string{"TLSv1.2", "TLSv1.3"} {
		row("cipher suites of "+version, func(i int) string {
			var all []string
			for _, c := range seen[i].Ciphers {
				if c.Version == version {
					all = append(all, c.Cipher)
				}
			}
			slices.Sort(all)
			return strings.Join(all, ", ")
		})
	}
	row("key exchange", func(i int) string {
		var all []string
		for _, g := range seen[i].Groups {
			name, _, _ := strings.Cut(g.Name, " (")
			all = append(all, name)
		}
		slices.Sort(all)
		return strings.Join(slices.Compact(all), ", ")
	})
	b.WriteString("\ntestssl.sh in detail:\n\n")
	fmt.Fprintf(&b, "| check | %s |\n|---|%s\n", strings.Join(profiles, " | "), strings.Repeat("---|", len(profiles)))
	for _, f := range found[0] {
		if detail.MatchString(f.ID) {
			row(f.ID, func(i int) string {
				for _, other := range found[i] {
					if other.ID == f.ID {
						return strings.Join(strings.Fields(strings.ReplaceAll(other.Finding, "|", "/")), " ")
					}
				}
				return "–"
			})
		}
	}
	return b.String()
}

// detail are the checks that are told of: those whose findings are the same on every machine.
var detail = regexp.MustCompile(`^(SSLv[23]|TLS1.*|ALPN.*|cipherlist_.*|PFS|PFS_ECDHE_curves|heartbleed|CCS|ticketbleed|ROBOT|secure_renego|secure_client_renego|CRIME_TLS|BREACH|POODLE_SSL|fallback_SCSV|SWEET32|FREAK|DROWN|LOGJAM|BEAST|LUCKY13|RC4)$`)
