package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// TestBehindASocket finds who listens, by the kernel's word and not by its own.
func TestBehindASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if got := behind(t.Context(), path); got != os.Getpid() {
		t.Errorf("found %d, want %d", got, os.Getpid())
	}
	_ = ln.Close()
	if got := behind(t.Context(), path); got != 0 {
		t.Errorf("nobody listens: found %d", got)
	}
}
