package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// onWrite is a writer that tells what was written to it.
type onWrite func(string)

func (w onWrite) Write(b []byte) (int, error) {
	w(string(b))
	return len(b), nil
}

const (
	soundFile  = "listeners: [{ address: '127.0.0.1:8080' }]\nupstreams: { a: { endpoints: ['127.0.0.1:1'] } }\nroutes: [{ name: a, match: { path: '/*' }, upstream: a }]\n"
	brokenFile = "listeners: 7\n"
)

// watchedByDoctor runs doctor --watch on a file that is broken after the first look and mended after the second, and ends it after the third.
func watchedByDoctor(t *testing.T, flags ...string) (said []string, err error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "straum.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	write(soundFile)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	c := newRoot()
	c.SetArgs(append([]string{"doctor", "--watch", "--window", "100ms", "--only", "configuration", "--socket", filepath.Join(dir, "none"), "-c", file}, flags...))
	c.SetOut(onWrite(func(text string) {
		said = append(said, text)
		switch len(said) {
		case 1:
			write(brokenFile)
		case 2:
			write(soundFile)
		case 3:
			stop()
		}
	}))
	return said, c.ExecuteContext(ctx)
}

func TestDoctorWatches(t *testing.T) {
	said, err := watchedByDoctor(t)
	if err != nil || len(said) != 3 {
		t.Fatalf("%v: %q", err, said)
	}
	for i, want := range []string{"  good     configuration\n", " configuration: good → bad: ", " configuration: bad → good: "} {
		if !strings.Contains(said[i], want) || i > 0 && strings.Count(said[i], "\n") != 1 {
			t.Errorf("look %d: got %q, want %q", i+1, said[i], want)
		}
	}
}

func TestDoctorWatchesForPrograms(t *testing.T) {
	said, err := watchedByDoctor(t, "--json")
	if err != nil || len(said) != 3 {
		t.Fatalf("%v: %q", err, said)
	}
	for i, want := range []string{"good", "bad", "good"} {
		var o struct {
			At           time.Time
			ID, Severity string
		}
		if err := json.Unmarshal([]byte(said[i]), &o); err != nil || o.ID != "configuration" || o.Severity != want || o.At.IsZero() {
			t.Errorf("look %d: got %s (%v), want %s", i+1, said[i], err, want)
		}
	}
}

// TestDoctorInterrupted is not a report of half of the checks.
func TestDoctorInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	c := newRoot()
	c.SetArgs([]string{"doctor", "--socket", filepath.Join(t.TempDir(), "none"), "--only", "time"})
	c.SetOut(onWrite(func(text string) { t.Errorf("it wrote %q", text) }))
	var code *coded
	if err := c.ExecuteContext(ctx); !errors.As(err, &code) || code.code != exitFailed {
		t.Errorf("got %v", err)
	}
}
