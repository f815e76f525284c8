package listen

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"hash/crc32"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

// TestProxyScripts plays the text scripts in testdata: blocks parted by an empty line, each with comments (#), commands, a line
// "----" and the expected output. Commands:
//
//	v1 "quoted bytes"
//	v2 [version=2] [command=1] [family=0x11] [addresses=a>b] [raw=hex] [tlv=type:hex]... [crc=good|bad] [length=n] [cut=n]
func TestProxyScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var rewritten []string
		for block := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n\n") {
			head, want, _ := strings.Cut(block, "\n----")
			var out strings.Builder
			for line := range strings.SplitSeq(head, "\n") {
				if line != "" && line[0] != '#' {
					out.WriteString(parseOut(scripted(t, line)) + "\n")
				}
			}
			got := strings.TrimSpace(out.String())
			if want = strings.TrimSpace(want); !*update && got != want {
				t.Errorf("%s:\n%s\ngot:\n%s\nwant:\n%s", file, head, got, want)
			}
			if got != "" {
				head += "\n----\n" + got
			}
			rewritten = append(rewritten, head)
		}
		if *update {
			if err := os.WriteFile(file, []byte(strings.Join(rewritten, "\n\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func parseOut(b []byte) string {
	h, n, more, err := parseProxy(b)
	switch {
	case err != nil:
		return "error: " + err.Error()
	case more:
		return "more"
	case h.Source.IsValid():
		return fmt.Sprintf("%s > %s, %d of %d bytes", h.Source, h.Destination, n, len(b))
	}
	return fmt.Sprintf("no addresses, %d of %d bytes", n, len(b))
}

// scripted makes the bytes that a command line stands for.
func scripted(t *testing.T, line string) []byte {
	t.Helper()
	word, rest, _ := strings.Cut(line, " ")
	if word == "v1" {
		text, err := strconv.Unquote(rest)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return []byte(text)
	}
	version, command, family, length, cut := 2, 1, 0x11, -1, -1
	crc := ""
	var payload []byte
	for _, field := range strings.Fields(rest) {
		name, value, _ := strings.Cut(field, "=")
		number, _ := strconv.ParseInt(value, 0, 32)
		switch name {
		case "version":
			version = int(number)
		case "command":
			command = int(number)
		case "family":
			family = int(number)
		case "length":
			length = int(number)
		case "cut":
			cut = int(number)
		case "crc":
			crc = value
		case "addresses":
			from, to, _ := strings.Cut(value, ">")
			a, b := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
			payload = append(append(payload, a.Addr().AsSlice()...), b.Addr().AsSlice()...)
			payload = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(payload, a.Port()), b.Port())
		case "raw":
			raw, err := hex.DecodeString(value)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			payload = append(payload, raw...)
		case "tlv":
			kind, text, _ := strings.Cut(value, ":")
			k, _ := strconv.ParseUint(kind, 0, 8)
			raw, _ := hex.DecodeString(text)
			payload = binary.BigEndian.AppendUint16(append(payload, byte(k)), uint16(len(raw)))
			payload = append(payload, raw...)
		default:
			t.Fatalf("%s: unknown word %q", line, field)
		}
	}
	if crc != "" {
		payload = append(payload, tlvCRC32C, 0, 4, 0, 0, 0, 0)
	}
	if length < 0 {
		length = len(payload)
	}
	b := append([]byte(nil), signatureV2...)
	b = append(b, byte(version<<4|command), byte(family))
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	b = append(b, payload...)
	if crc != "" {
		sum := crc32.Checksum(b, castagnoli)
		if crc == "bad" {
			sum++
		}
		binary.BigEndian.PutUint32(b[len(b)-4:], sum)
	}
	if cut >= 0 {
		b = b[:cut]
	}
	return b
}

// TestProxyInPieces: whatever a whole header says, every proper beginning of it asks for more, and bytes behind it do not matter.
func TestProxyInPieces(t *testing.T) {
	for _, line := range []string{
		`v1 "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"`,
		`v1 "PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n"`,
		`v1 "PROXY UNKNOWN ffff:f...f:ffff 65535\r\n"`,
		`v2 addresses=192.0.2.7:4711>198.51.100.1:443 tlv=4:0000 crc=good`,
		`v2 family=0x21 addresses=[2001:db8::7]:4711>[2001:db8::1]:443`,
		`v2 command=0 family=0 raw=00`,
	} {
		whole := scripted(t, line)
		for i := range whole {
			if got := parseOut(whole[:i]); got != "more" {
				t.Errorf("%s: the first %d bytes: %s", line, i, got)
			}
		}
		alone, n, _, err := parseProxy(whole)
		if err != nil || n != len(whole) {
			t.Errorf("%s: %d of %d bytes, %v", line, n, len(whole), err)
		}
		longer, m, _, err := parseProxy(append(bytes.Clone(whole), "GET / HTTP/1.1\r\n\r\n"...))
		if longer != alone || m != n || err != nil {
			t.Errorf("%s: followed by a request: %v, %d, %v", line, longer, m, err)
		}
	}
}

func FuzzParseProxy(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"))
	f.Add([]byte("PROXY TCP6 ::1 ::ffff:1.2.3.4 0 65535\r\nGET"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add(append(bytes.Clone(signatureV2), 0x21, 0x11, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 2))
	f.Add(append(bytes.Clone(signatureV2), 0x21, 0x00, 0, 7, 3, 0, 4, 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, more, err := parseProxy(b)
		switch {
		case n < 0 || n > len(b) || n > maxProxyHeader:
			t.Fatalf("%d of %d bytes", n, len(b))
		case more && (err != nil || n != 0 || len(b) >= maxProxyHeader):
			t.Fatalf("asks for more with %d bytes there, n %d, error %v", len(b), n, err)
		case err != nil && (n != 0 || h != proxyHeader{}):
			t.Fatalf("an error and a header: %v %d %v", h, n, err)
		case err == nil && !more && n == 0:
			t.Fatal("neither a header nor a request for more nor an error")
		case h.Source.IsValid() != h.Destination.IsValid() || h.Source.Addr().Is4In6() || h.Source.Addr().Zone() != "":
			t.Fatalf("%v", h)
		}
		if err != nil || more {
			return
		}
		// What is read does not depend on what follows, and no proper beginning of it means anything else.
		if again, m, _, err := parseProxy(b[:n]); again != h || m != n || err != nil {
			t.Fatalf("read alone: %v %d %v, with what follows: %v %d", again, m, err, h, n)
		}
		for _, cut := range []int{0, n / 2, n - 1} {
			if _, m, more, err := parseProxy(b[:cut]); !more || m != 0 || err != nil {
				t.Fatalf("the first %d of %d bytes: %d %v %v", cut, n, m, more, err)
			}
		}
	})
}
