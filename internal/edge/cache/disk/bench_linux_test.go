package disk

import (
	"io"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"straum.dev/straum/internal/edge/socket"
)

// drop takes all that comes without copying it.
func drop(far net.Conn) {
	raw, _ := far.(*net.TCPConn).SyscallConn()
	var err error
	for over := false; !over && err == nil; {
		err = raw.Read(func(fd uintptr) bool {
			n, _, errno := syscall.Syscall6(syscall.SYS_RECVFROM, fd, 0, 4<<20, unix.MSG_TRUNC, 0, 0)
			over = errno == 0 && n == 0 || errno != 0 && errno != syscall.EAGAIN
			return errno != syscall.EAGAIN
		})
	}
}

// BenchmarkSend sends 16 MiB of an object to a peer on this machine: inside the kernel, and by reading and writing.
func BenchmarkSend(b *testing.B) {
	s := start(b, settings(b))
	put(b, s, "large-16000000")
	o := s.Get(key("large-16000000"))
	defer o.File.Release()
	for _, by := range []string{"kernel", "reading"} {
		b.Run(by, func(b *testing.B) {
			conn, far := line(b, "tcp")
			go drop(far)
			b.SetBytes(o.Length)
			b.ReportAllocs()
			var body Body
			var before, after unix.Rusage
			unix.Getrusage(unix.RUSAGE_SELF, &before)
			for b.Loop() {
				body.Begin(o, 0, o.Length)
				for {
					if by == "kernel" {
						if n, read, write := body.SendTo(conn, patience); n > 0 && read == nil && write == nil {
							continue
						} else if read != nil && read != socket.ErrNoSplice || write != nil {
							b.Fatal(read, write)
						}
					}
					run, err := body.Next()
					if err == io.EOF {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					if err := conn.Write(run, nil, patience); err != nil {
						b.Fatal(err)
					}
				}
			}
			unix.Getrusage(unix.RUSAGE_SELF, &after)
			spent := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
			b.ReportMetric(float64(spent)/float64(b.N)/16, "cpu-ns/MB")
		})
	}
}
