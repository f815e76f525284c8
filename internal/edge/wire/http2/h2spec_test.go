package http2

import (
	"bytes"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"

	"straum.dev/straum/internal/edge/exchange"
)

// Every case of h2spec passes, the strict ones included, plain and over TLS.
func TestH2spec(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	answer := answering(func(x *exchange.Exchange) {
		if b := x.Request.Body; b != nil {
			readAll(b)
		}
		x.Respond(200, "text/plain", text)
	})
	quietly(t)
	f := func(p *place, secure bool) {
		t.Helper()
		host, port, err := net.SplitHostPort(p.addr)
		if err != nil {
			t.Fatal(err)
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		c := &config.Config{Host: host, Port: number, Path: "/", Timeout: 2 * time.Second, MaxHeaderLen: 4000, Strict: true, TLS: secure, Insecure: true}
		passed := 0
		for _, group := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
			group.Test(c)
			passed += group.PassedCount
			if group.FailedCount > 0 || group.SkippedCount > 0 {
				t.Errorf("%s: %d failed, %d skipped", group.ID(), group.FailedCount, group.SkippedCount)
				tell(t, group)
			}
		}
		if passed < 145 {
			t.Errorf("only %d cases passed", passed)
		}
	}
	f(serve(t, roomy(), answer), false)
	f(serveTLS(t, roomy(), answer), true)
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

// quietly keeps what h2spec prints out of the test's output.
func quietly(t *testing.T) {
	out := os.Stdout
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = null
	t.Cleanup(func() {
		os.Stdout = out
		null.Close()
	})
}
