package resolve

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

// TestScripts plays the text scripts in testdata: blocks parted by an empty line, of comments (#) and commands, a line
// "----", the expected output.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var last kept
		var rewritten []string
		for block := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n\n") {
			head, want, commands := strings.Cut(block, "\n----")
			if !commands {
				rewritten = append(rewritten, block)
				continue
			}
			var out []string
			for line := range strings.SplitSeq(head, "\n") {
				if fields := strings.Fields(line); fields[0] != "#" {
					out = append(out, play(&last, fields))
				}
			}
			got := strings.Join(out, "\n")
			if !*update && got != strings.TrimSpace(want) {
				t.Errorf("%s:\n%s\ngot:\n%s\nwant:\n%s", file, head, got, strings.TrimSpace(want))
			}
			rewritten = append(rewritten, head+"\n----\n"+got)
		}
		if *update {
			if err := os.WriteFile(file, []byte(strings.Join(rewritten, "\n\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func play(last *kept, fields []string) string {
	var got [families]found
	if fields[0] == "many" {
		var n int
		fmt.Sscan(fields[1], &n)
		got[ip4].addresses = inOrder(n)
		got[ip6].err = &net.DNSError{Err: "no such host", IsNotFound: true}
	} else {
		for f, network := range networks {
			got[f] = answer(strings.TrimPrefix(fields[1+f], network+"="))
		}
	}
	now, answered, err := settle(*last, got)
	*last = now
	set := now.set()
	if len(set) > 8 {
		return fmt.Sprintf("%d addresses from %v to %v answered=%t err=%v", len(set), set[0], set[len(set)-1], answered, err)
	}
	return fmt.Sprintf("%v answered=%t err=%v", set, answered, err)
}

// inOrder is 10.1.0.0 and those after it, the last first.
func inOrder(n int) (addresses []netip.Addr) {
	for i := range n {
		addresses = append(addresses, netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
	}
	slices.Reverse(addresses)
	return addresses
}

// answer reads what looking up one family brought.
func answer(word string) found {
	switch word {
	case "none":
		return found{}
	case "notfound":
		return found{err: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}
	case "nofamily":
		return found{err: &net.AddrError{Err: "no suitable address found", Addr: "x"}}
	case "timeout":
		return found{err: fmt.Errorf("lookup x: %w", context.DeadlineExceeded)}
	case "refused":
		return found{err: errors.New("refused")}
	}
	var f found
	for word := range strings.SplitSeq(word, ",") {
		f.addresses = append(f.addresses, netip.MustParseAddr(word))
	}
	return f
}

func TestKinds(t *testing.T) {
	f := func(err error, want kind) {
		t.Helper()
		if got := kindOf(err); got != want {
			t.Errorf("%v: kind %d, want %d", err, got, want)
		}
	}
	f(nil, fine)
	f(&net.DNSError{IsNotFound: true}, notFound)
	f(&net.DNSError{IsTimeout: true}, timeout)
	f(&net.DNSError{IsTemporary: true}, other)
	f(&tooMany{300}, many)
	f(fmt.Errorf("ip6: %w", &net.DNSError{IsTimeout: true}), timeout)
	f(errUnusable, other)
}

func TestPause(t *testing.T) {
	const s = time.Second
	f := func(every time.Duration, failures int, random uint64, want time.Duration) {
		t.Helper()
		got := pause(every, failures, random)
		if off := got - want; off < -time.Microsecond || off > 0 { // what floating point loses
			t.Errorf("every %v, %d failures: %v, want %v", every, failures, got, want)
		}
	}
	f(30*s, 0, 0, 27*s)
	f(30*s, 0, 1<<63, 30*s)
	f(30*s, 0, 1<<64-1, 33*s)
	f(30*s, 1, 1<<63, 1*s)
	f(30*s, 2, 1<<63, 2*s)
	f(30*s, 5, 1<<63, 16*s)
	f(30*s, 6, 1<<63, 30*s)
	f(30*s, 1<<40, 1<<63, 30*s)
	f(1*s, 3, 1<<63, 1*s)
}

// addresses draws a sorted set from few, so that two sets often have some in common.
func addresses(t *rapid.T, label string) []netip.Addr {
	set := rapid.SliceOfDistinct(rapid.ByteMax(11), rapid.ID[byte]).Draw(t, label)
	slices.Sort(set)
	var out []netip.Addr
	for _, b := range set {
		out = append(out, netip.AddrFrom4([4]byte{10, 0, 0, b}))
	}
	return out
}

// TestDiffAgainstTwin compares with the definition: what is in one set and not in the other.
func TestDiffAgainstTwin(t *testing.T) {
	without := func(a, b []netip.Addr) (out []netip.Addr) {
		for _, x := range a {
			if !slices.Contains(b, x) {
				out = append(out, x)
			}
		}
		return out
	}
	rapid.Check(t, func(t *rapid.T) {
		before, after := addresses(t, "before"), addresses(t, "after")
		added, removed := Diff(before, after)
		if !slices.Equal(added, without(after, before)) || !slices.Equal(removed, without(before, after)) {
			t.Fatalf("Diff(%v, %v) = %v, %v", before, after, added, removed)
		}
	})
}
