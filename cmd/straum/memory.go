package main

import (
	"os"
	"runtime/debug"

	"straum.dev/straum/internal/memlimit"
)

// memoryShare is how much of the memory there is the Go runtime may use before it collects harder. The rest is for the kernel's
// buffers and for whoever else is on the box.
const memoryShare = 0.85

// limitMemory tells the Go runtime how much memory there is, unless GOMEMLIMIT does. It is a soft limit.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit, _, err := memlimit.Find(os.DirFS("/")); err == nil {
		debug.SetMemoryLimit(int64(float64(limit) * memoryShare))
	}
}
