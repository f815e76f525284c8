// Package descriptors proves from outside that running out of descriptors is a state to get through: no crash, no spin, and all is
// well once there are some again.
package descriptors

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// rest measures the processor time of a second.
func rest(g *gateway.Gateway) time.Duration {
	before := g.CPU()
	time.Sleep(time.Second)
	return g.CPU() - before
}

// TestIdleConnections opens many more connections than the gateway has descriptors for, each used once and left open: the longest
// idle make room, later ones are served, and nothing spins.
func TestIdleConnections(t *testing.T) {
	e := traffic.NewScripted(t, traffic.ServeOK)
	listen := gateway.Free(t)
	g := gateway.Start(t, gateway.Simple(listen, []string{e.Addr}, ""), gateway.Files(128))
	conns := make([]net.Conn, 400)
	answered := 0
	for i := range conns {
		c, err := net.Dial("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
		c.SetDeadline(time.Now().Add(gateway.Patience))
		r, _, err := traffic.Exchange(c, bufio.NewReader(c), traffic.Get("/"))
		switch {
		case err != nil:
			t.Fatalf("connection %d: %v", i, err)
		case r.StatusCode == http.StatusOK:
			answered++
		case r.StatusCode != http.StatusServiceUnavailable:
			t.Fatalf("connection %d got %d", i, r.StatusCode)
		}
	}
	if answered < len(conns)*9/10 {
		t.Errorf("only %d of %d connections were served", answered, len(conns))
	}
	if cpu := rest(g); cpu > 300*time.Millisecond {
		t.Errorf("the gateway used %s of a second with nothing to do", cpu)
	}
	for _, c := range conns {
		c.Close()
	}
	recovered(t, g, listen)
}

// TestSilentConnections takes all descriptors with connections that say nothing and cannot be told from clients about to speak.
func TestSilentConnections(t *testing.T) {
	e := traffic.NewScripted(t, traffic.ServeOK)
	listen := gateway.Free(t)
	g := gateway.Start(t, gateway.Simple(listen, []string{e.Addr}, ""), gateway.Files(96))
	conns := make([]net.Conn, 300)
	for i := range conns {
		c, err := net.Dial("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
	}
	gateway.Await(t, "no descriptors are left", func() bool { return g.Descriptors() > 80 })
	if cpu := rest(g); cpu > 500*time.Millisecond {
		t.Errorf("the gateway used %s of a second with nothing to do", cpu)
	}
	if !g.Running() {
		t.Fatal("the gateway has ended")
	}
	for _, c := range conns {
		c.Close()
	}
	recovered(t, g, listen)
}

// TestBusy holds as many requests at the endpoint as there are descriptors for, which take two each: what cannot be served is told
// so or waits, and all is well afterwards.
func TestBusy(t *testing.T) {
	letGo := make(chan struct{})
	e := traffic.NewScripted(t, func(c net.Conn, _ int64) {
		in := bufio.NewReader(c)
		for {
			r, _, err := traffic.Read(in)
			if err != nil {
				return
			}
			if r.URL.Path == "/held" {
				<-letGo
			}
			c.Write([]byte(traffic.OK))
		}
	})
	listen := gateway.Free(t)
	g := gateway.Start(t, gateway.Simple(listen, []string{e.Addr}, "    ejection: off\n    retry: { attempts: 0 }"), gateway.Files(96))
	type outcome struct {
		status int
		err    error
	}
	const held = 120
	outcomes := make(chan outcome, held)
	for range held {
		go func() {
			r, _, err := traffic.Once(listen, traffic.Get("/held"))
			if err != nil {
				outcomes <- outcome{0, err}
				return
			}
			outcomes <- outcome{r.StatusCode, nil}
		}()
	}
	gateway.Await(t, "no descriptors are left", func() bool { return g.Descriptors() > 80 || len(outcomes) > 0 })
	if cpu := rest(g); cpu > 500*time.Millisecond {
		t.Errorf("the gateway used %s of a second while it waited", cpu)
	}
	close(letGo)
	got := map[int]int{}
	for range held {
		o := <-outcomes
		got[o.status]++
		if o.err != nil && got[0] == 1 {
			t.Errorf("a request was not answered: %v", o.err)
		}
	}
	t.Logf("answers by status: %v", got)
	if got[http.StatusOK]+got[http.StatusServiceUnavailable] != held {
		t.Errorf("got the answers %v, want 200 and 503 only", got)
	}
	recovered(t, g, listen)
}

// recovered proves that all is well again.
func recovered(t *testing.T, g *gateway.Gateway, listen string) {
	t.Helper()
	// Connections to the endpoint may be kept, but not so many that nobody else gets in.
	gateway.Await(t, "a descriptor is free again", func() bool { return g.Descriptors() < 96-2 })
	load := traffic.Start(traffic.Plan{Addr: listen, Conns: 4})
	gateway.Await(t, "requests", func() bool { return load.Requests() > 500 || load.Failed() > 0 })
	if r := load.Stop(); r.Failed > 0 {
		t.Errorf("%d of %d requests failed afterwards, such as:\n%v", r.Failed, r.Requests, r.Failures)
	}
}
