//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: needs Linux: it pins programs to cores and reads their use from /proc")
	os.Exit(1)
}
