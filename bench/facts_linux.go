package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// facts opens the results: what ran where, and how to run it again.
func facts(ctx context.Context, o options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Side by side\n\nWritten by `make bench`; see the comment in bench/doc.go for the method. Medians over the rounds; errors are summed,\nmemory is the most of any round. Less is better, but for rates.\n\n")
	fmt.Fprintf(&b, "- date: %s\n- command: `go run ./bench%s`\n", time.Now().UTC().Format(time.DateOnly), flagsGiven())
	fmt.Fprintf(&b, "- processor: %s, %d cores\n- kernel: %s\n- Go: %s\n", processor(), runtime.NumCPU(), kernel(), runtime.Version())
	fmt.Fprintf(&b, "- nginx: %s; in the scenarios with tokens: with its Lua module, luaossl and cjson\n- haproxy: %s\n- load: %s; %s; crypto/tls\n", version(ctx, "nginx", "-v"), version(ctx, "haproxy", "-v"), version(ctx, "wrk", "-v"), version(ctx, "h2load", "--version"))
	if o.wants(limits) {
		fmt.Fprintf(&b, "- redis: %s\n", version(ctx, "redis-server", "--version"))
	}
	fmt.Fprintf(&b, "- rounds: %d, each %s a gateway (json and tls; others half of it); %d distinct tokens where there are many; gateway on core %d, load and upstream on core %d\n\n## Figures\n\n", o.rounds, o.duration, o.tokens, gatewayCore, loadCore)
	return b.String()
}

func flagsGiven() string {
	if len(os.Args) == 1 {
		return ""
	}
	return " " + strings.Join(os.Args[1:], " ")
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}
