//go:build !linux

package edge_test

import "syscall"

// reusePort leaves the test that needs it to systems that have it.
func reusePort(_, _ string, _ syscall.RawConn) error { return syscall.ENOTSUP }
