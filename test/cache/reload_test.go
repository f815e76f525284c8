package cache

import (
	"fmt"
	"strings"
	"testing"

	"straum.dev/straum/test/gateway"
)

// TestReload: what is stored outlives new configurations, also one that moves a route about, and requests meanwhile are answered.
func TestReload(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "max-age=3600")
	f := open(t, setting{endpoint: o.addr, more: "cache: { memory: 16MiB, disk: { path: kept } }"})
	kept := paths(20)
	numbers := map[string]int64{}
	for _, path := range kept {
		f.get(path)
	}
	for _, path := range kept {
		numbers[path] = number(f.soon(path))
	}
	asked := o.asked.Load()
	c := f.crowd(t, 4, kept, 0)
	for i := range 10 {
		config := strings.Replace(f.config, "routes:\n", fmt.Sprintf("routes:\n  - { name: other%d, match: { path: /other/* }, upstream: app, policies: [{ cache: { ttl: %ds } }] }\n", i, i+1), 1)
		config = strings.Replace(config, "memory: 16MiB", fmt.Sprintf("memory: %dMiB", 12+i), 1)
		if err := f.Reload(config); err != nil {
			t.Fatal(err)
		}
		from := c.answers.Load()
		gateway.Await(t, "answers after the reload", func() bool { return c.answers.Load() > from+20 || t.Failed() })
	}
	c.end()
	for _, path := range kept {
		if got := f.get(path); !got.hit() || number(got) != numbers[path] {
			t.Errorf("%s: answer %d, want %d: %v", path, number(got), numbers[path], got.header)
		}
	}
	if n := o.asked.Load(); n != asked {
		t.Errorf("the endpoint was asked %d times more", n-asked)
	}
}

// TestRestart: what lies on disk is there for the next process.
func TestRestart(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "max-age=3600")
	f := prepare(t, setting{endpoint: o.addr, more: fmt.Sprintf("cache: { disk: { path: %q } }", t.TempDir())})
	f.Gateway = gateway.Start(t, f.config)
	const path = "/3000000/a" // too long for memory
	f.get(path)
	n := number(f.soon(path))
	if code := f.Stop(); code != 0 {
		t.Fatalf("it ended with code %d", code)
	}
	f.Gateway = gateway.Start(t, f.config)
	gateway.Await(t, "the answer of before is found", func() bool {
		got := f.get(path)
		if err := whole(got); err != nil {
			t.Fatal(err)
		}
		return got.hit()
	})
	// The index may not have had it at once: then the endpoint was asked, and what it said took its place.
	if got := f.get(path); number(got) != n {
		t.Logf("answer %d was not found before it was asked for", n)
	}
}
