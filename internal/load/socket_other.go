//go:build !linux

package load

import "golang.org/x/sys/unix"

func openSocket(unix.Sockaddr) (fd int, done bool, err error) { return -1, false, unix.ENOSYS }
func connected(int) error                                     { return unix.ENOSYS }
func abort(fd int)                                            { unix.Close(fd) }
