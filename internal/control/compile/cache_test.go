package compile

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/cache"
	"straum.dev/straum/internal/edge/chain"
)

// Where answers are kept goes on as it is written, with paths beside the file.
func TestCache(t *testing.T) {
	f := func(text string, want cache.Settings, shared bool) {
		t.Helper()
		c, _ := compiled(t, text, nil)
		if d := c.Cache.Disk; d != nil && d.Path != "" {
			d.Path = filepath.Base(d.Path)
		}
		if !reflect.DeepEqual(c.Cache, want) || c.CacheShared != shared || c.NeedsKeys() != shared {
			t.Errorf("%s: %+v, shared %v, keys %v", text, c.Cache, c.CacheShared, c.NeedsKeys())
		}
	}
	f("", cache.Settings{Memory: 64 << 20, MaxObject: 1 << 20}, false)
	f("cache: { memory: 0 }", cache.Settings{MaxObject: 1 << 20}, false)
	f("cache: { memory: 1GiB, max_object: 2MiB, disk: { path: answers, size: 1TiB, max_object: 1GiB } }",
		cache.Settings{Memory: 1 << 30, MaxObject: 2 << 20, Disk: &cache.Disk{Path: "answers", Size: 1 << 40, MaxObject: 1 << 30}}, false)
	f("cache: { disk: {}, redis: { max_object: 1MiB } }\nredis: { addresses: ['127.0.0.1:6379'] }",
		cache.Settings{Memory: 64 << 20, MaxObject: 1 << 20, Disk: &cache.Disk{Size: 10 << 30, MaxObject: 256 << 20}, RedisMaxObject: 1 << 20}, true)
}

// A cache without a store is a mistake, told once for each place that asks for one.
func TestCacheWithoutStore(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		c, err := config.Parse("straum.yaml", []byte("listeners: [{ address: ':8080' }]\nupstreams: { app: { endpoints: [127.0.0.1:3000] } }\n"+text),
			config.Options{Policies: chain.Schemas(chain.Order)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Compile(c, chain.Order)
		var problems *document.Problems
		if len(want) == 0 {
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			return
		}
		if !errors.As(err, &problems) || problems.Len() != len(want) {
			t.Fatalf("%s: %v", text, err)
		}
		for i, p := range problems.All() {
			if p.Place() != want[i] || !strings.Contains(p.Text, "there is nowhere to keep answers: cache.memory is 0") {
				t.Errorf("%s: %v", text, p)
			}
		}
	}
	const a, b = "routes:\n  - { name: a, match: { path: /a }, upstream: app, policies: [cache: {}] }\n", "  - { name: b, match: { path: /b }, upstream: app }\n"
	f(a + b)
	f("cache: { memory: 0, disk: {} }\n" + a)
	f("cache: { memory: 0 }\n"+a+b, "straum.yaml:5:63")
	f("cache: { memory: 0 }\npolicies: [cache: {}]\n"+a+b, "straum.yaml:4:12", "straum.yaml:6:63")
	f("cache: { memory: 0 }\n" + "routes:\n" + b)
}

func TestCacheWarnings(t *testing.T) {
	f := func(policies, want string) {
		t.Helper()
		c, consumers := compiled(t, "consumers: [{ id: acme, credentials: [{ api_key: "+key+" }] }]\nroutes: [{ name: a, match: { path: /a }, upstream: app, policies: [{ "+strings.ReplaceAll(policies, " | ", " }, { ")+" }] }]\n", nil)
		if got := strings.Join(c.Warnings(consumers, now), "\n"); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %s", policies, got)
		}
	}
	f("cache: {}", "")
	f("cache: { by: consumer }", "nothing there finds out who calls")
	f("api_key: {} | cache: { by: consumer }", "")
	f("cache: { by: consumer } | api_key: {}", "")
}
