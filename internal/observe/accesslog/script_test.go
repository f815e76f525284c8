package accesslog

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

// TestText runs testdata/text.txt: blocks of commands, a line of dashes, and what they print.
func TestText(t *testing.T) {
	const path = "testdata/text.txt"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimRight(string(raw), "\n"), "\n\n") {
		commands, want, found := strings.Cut(block, "----")
		if !found {
			t.Fatalf("block %d has no ----", i)
		}
		var got strings.Builder
		for line := range strings.Lines(commands) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				fmt.Fprintln(&got, command(t, line))
			}
		}
		if !*update && strings.TrimSpace(want) != strings.TrimSpace(got.String()) {
			t.Errorf("%s\ngot:\n%s\nwant:%s", commands, got.String(), want)
		}
		fmt.Fprintf(&out, "%s----\n%s\n", commands, got.String())
	}
	if *update {
		if err := os.WriteFile(path, []byte(strings.TrimRight(out.String(), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func command(t *testing.T, line string) string {
	word, rest, _ := strings.Cut(line, " ")
	first, rest, _ := strings.Cut(rest, " ")
	switch word {
	case "client":
		detail := map[string]Client{"masked": ClientMasked, "full": ClientFull}[first]
		return string(appendClient(nil, netip.MustParseAddr(rest), detail))
	case "text", "query":
		room, err := strconv.Atoi(first)
		if err != nil {
			t.Fatal(line, err)
		}
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			t.Fatal(line, err)
		}
		s, _ := strconv.Unquote(quoted)
		if word == "text" {
			return string(appendText(nil, s, room))
		}
		return string(appendQuery(nil, s, strings.Fields(rest[len(quoted):]), room))
	}
	t.Fatalf("no such command: %s", line)
	return ""
}

// TestCopyPlain compares the look at eight bytes with the table, for every byte at every place, and holds that a text that is
// plain is copied whole and nothing beside it is touched.
func TestCopyPlain(t *testing.T) {
	for size := range 40 {
		s := []byte(strings.Repeat("~ 0a", 20)[:size])
		room := []byte(strings.Repeat("-", size+2))
		if !copyPlain(room[1:1+size], string(s)) || string(room) != "-"+string(s)+"-" {
			t.Errorf("%q is plain; its copy is %q", s, room)
		}
		for at := range s {
			for c := range 256 {
				was := s[at]
				s[at] = byte(c)
				if got := copyPlain(room[1:1+size], string(s)); got != plain[c] {
					t.Fatalf("%q: %v", s, got)
				}
				s[at] = was
			}
		}
	}
}

func TestNumber(t *testing.T) {
	for _, n := range []int64{0, 9, 10, 99, 100, 101, 999, 1000, 6050, 9999, 10000, 123456, 1<<63 - 1, -1, -1 << 63} {
		if got := string(appendNumber(nil, "n", n)); got != fmt.Sprint("n", n) {
			t.Errorf("%d: %s", n, got)
		}
	}
}
