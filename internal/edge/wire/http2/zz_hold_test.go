package http2

import (
	"fmt"
	"os"
	"runtime/pprof"
	"syscall"
	"testing"
	"time"
)

func TestZZHold(t *testing.T) {
	if os.Getenv("HOLD") == "" {
		t.Skip()
	}
	p := serve(t, roomy(), answering(hello))
	os.WriteFile("/tmp/h2addr", []byte(p.addr), 0o600)
	f, _ := os.Create("/tmp/h2.prof")
	if os.Getenv("PROF") != "" {
		pprof.StartCPUProfile(f)
	}
	for {
		if _, err := os.Stat("/tmp/h2stop"); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	pprof.StopCPUProfile()
	var r syscall.Rusage
	syscall.Getrusage(0, &r)
	fmt.Println("streams", p.set.Stats.Streams.Load(), "cpu us/req", float64(r.Utime.Nano()+r.Stime.Nano())/1e3/float64(p.set.Stats.Streams.Load()), "user", float64(r.Utime.Nano())/1e3/float64(p.set.Stats.Streams.Load()))
	os.Remove("/tmp/h2stop")
}
