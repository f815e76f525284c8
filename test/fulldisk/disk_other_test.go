//go:build !linux

package fulldisk

import "testing"

// tinyDisk is known how to make on Linux only.
func tinyDisk(t *testing.T) string {
	t.Skip("a small disk is mounted on Linux only")
	return ""
}
