package http2

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// Every case of h2spec passes through the real program, the strict ones included, by TLS and without. It is not parallel: h2spec
// prints what it does, and that is kept away for the time it runs.
func TestH2spec(t *testing.T) {
	text := wire.OK(strings.Repeat("0123456789abcdef", 4<<10))
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		return p.TryBody(m, "") == nil && p.TrySend(text) == nil // many a case is broken off
	})
	f := open(t, endpoint.Addr, setting{})
	out := os.Stdout
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, secure := range []bool{true, false} {
		addr := f.plain
		if secure {
			addr = f.secure
		}
		host, port, _ := net.SplitHostPort(addr)
		number, _ := strconv.Atoi(port) // it is one
		c := &config.Config{Host: host, Port: number, Path: "/", Timeout: 2 * time.Second, MaxHeaderLen: 4000, Strict: true, TLS: secure, Insecure: true}
		passed := 0
		for _, group := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
			os.Stdout = null
			group.Test(c)
			os.Stdout = out
			passed += group.PassedCount
			if group.FailedCount > 0 || group.SkippedCount > 0 {
				t.Errorf("TLS %v, %s: %d failed, %d skipped", secure, group.ID(), group.FailedCount, group.SkippedCount)
				tell(t, group)
			}
		}
		if passed < 140 {
			t.Errorf("TLS %v: only %d cases passed", secure, passed)
		}
	}
	gateway.Await(t, "nothing to be left behind", func() bool { return f.Number("straum_listener_connections") == 0 })
}

// tell names the cases of a group that failed.
func tell(t *testing.T, group *spec.TestGroup) {
	for _, c := range append(group.Tests, group.StrictTests...) {
		if c.Result != nil && (c.Result.Failed || c.Result.Skipped) {
			t.Errorf("%s: %s: %v", group.ID(), c.Desc, c.Result.Error)
		}
	}
	for _, inner := range group.Groups {
		tell(t, inner)
	}
}
