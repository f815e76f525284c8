package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/compile"
	"straum.dev/straum/internal/edge/chain"
)

// keeping compiles what a configuration says of the cache.
func keeping(t *testing.T, text string) *compile.Compiled {
	t.Helper()
	c, err := config.Parse("straum.yaml", []byte("listeners: [{ address: ':8080' }]\n"+text), config.Options{Policies: chain.Schemas(chain.Order)})
	if err != nil {
		t.Fatal(err)
	}
	out, err := compile.Compile(c, chain.Order)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func newTestCaches(t *testing.T, state string) *caches {
	t.Helper()
	c := newCaches(slog.New(slog.DiscardHandler), state)
	c.pause = time.Millisecond
	t.Cleanup(c.close)
	return c
}

// inForce takes a configuration to its end.
func (c *caches) inForce(t *testing.T, of *compile.Compiled) {
	t.Helper()
	if err := c.prepare(of, nil, nil); err != nil {
		t.Fatal(err)
	}
	c.start()
	c.keep()
}

func (c *caches) rooms() (memory, disk int64) {
	s := c.Stat()
	if s.Memory != nil {
		memory = s.Memory.Room
	}
	if s.Disk != nil {
		disk = s.Disk.Room
	}
	return memory, disk
}

// A revision that is judged changes nothing; one that is started and refused is gone again.
func TestCacheRevisions(t *testing.T) {
	c := newTestCaches(t, t.TempDir())
	f := func(what string, wantMemory, wantDisk int64) {
		t.Helper()
		if memory, disk := c.rooms(); memory != wantMemory || disk != wantDisk {
			t.Errorf("%s: %d bytes of memory, %d of disk; want %d, %d", what, memory, disk, wantMemory, wantDisk)
		}
	}
	f("before the first", 0, 0)
	if err := c.prepare(keeping(t, "cache: { memory: 8MiB }"), nil, nil); err != nil {
		t.Fatal(err)
	}
	f("prepared", 0, 0)
	c.start()
	f("started", 8<<20, 0)
	c.keep()
	c.inForce(t, keeping(t, "cache: { memory: 16MiB, disk: { size: 1GiB, max_object: 1MiB } }"))
	f("the next", 16<<20, 1<<30)
	if err := c.prepare(keeping(t, "cache: { memory: 32MiB }"), nil, nil); err != nil {
		t.Fatal(err)
	}
	c.drop()
	f("dropped before its start", 16<<20, 1<<30)
	if err := c.prepare(keeping(t, "cache: { memory: 32MiB }"), nil, nil); err != nil {
		t.Fatal(err)
	}
	c.start()
	f("started", 32<<20, 0)
	c.drop()
	f("dropped after it", 16<<20, 1<<30)
	if all := c.attention(); len(all) != 0 {
		t.Errorf("%v", all)
	}
	if c.numbers() != nil {
		t.Error("there are numbers of a cache that was never asked")
	}
}

// A directory that cannot be written to refuses the revision, at the place it is named.
func TestCacheDirectory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := newTestCaches(t, dir)
	err := c.prepare(keeping(t, "cache: { disk: { path: "+file+"/below } }"), nil, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "straum.yaml:2:16: cache.disk: answers cannot be kept in "+file+"/below") {
		t.Errorf("%v", err)
	}
	c.inForce(t, keeping(t, "cache: { disk: {} }"))
	if _, err := os.Stat(filepath.Join(dir, "cache")); err != nil {
		t.Error(err)
	}
}

// A directory that another process uses costs the disk alone, until it is free.
func TestCacheDirectoryTaken(t *testing.T) {
	dir := t.TempDir()
	first, second := newTestCaches(t, dir), newTestCaches(t, dir)
	settings := keeping(t, "cache: { memory: 8MiB, disk: { size: 1GiB, max_object: 1MiB } }")
	first.inForce(t, settings)
	second.inForce(t, settings)
	if memory, disk := second.rooms(); memory != 8<<20 || disk != 0 {
		t.Errorf("%d bytes of memory, %d of disk", memory, disk)
	}
	if s := second.Stat().Disk; s == nil || s.Healthy || s.Why == "" {
		t.Errorf("the disk that cannot be had: %+v", s)
	}
	if all := second.attention(); len(all) != 1 || all[0].Check != "cache" || !strings.Contains(all[0].Reason, "another process uses it") {
		t.Errorf("%v", all)
	}
	first.Close()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, disk := second.rooms(); disk == 1<<30 && len(second.attention()) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it never got it: %v", second.attention())
		}
	}
}
