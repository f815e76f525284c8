package metrics

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// front starts a gateway in front of an endpoint that answers with the status in the path, and closes the connection for /close.
func front(t *testing.T) (*gateway.Gateway, string) {
	t.Helper()
	addr := gateway.Free(t)
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		var status int
		fmt.Sscanf(m.Target(), "/%d", &status)
		switch {
		case m.Target() == "/close":
			p.Send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
			return false
		case m.Target() == "/reset":
			p.Reset()
			return false
		case status != 0:
			p.Send(fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok", status))
		default:
			p.Send(wire.OK("ok"))
		}
		return true
	})
	return gateway.Start(t, `
listeners:
  - { name: front, address: "`+addr+`" }
upstreams:
  app: { endpoints: ["`+endpoint.Addr+`"], ejection: off, retry: { attempts: 0 } }
routes:
  - { name: one, match: { host: one, path: /* }, upstream: app }
  - { name: two, match: { host: two, path: /*, methods: [GET] }, upstream: app }
`), addr
}

// What was sent is what is counted, byte for byte.
func TestCounts(t *testing.T) {
	t.Parallel()
	g, addr := front(t)
	before := g.Numbers()
	var sent, got float64 // of route one
	c := wire.Dial(t, addr)
	ask := func(method, host, path, body string) {
		t.Helper()
		request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", method, path, host, len(body), body)
		c.Send(request)
		m := c.Answer(method)
		if host == "one" {
			sent += float64(len(request))
			got += float64(len(m.String()) + len("\r\n") + len(m.Body))
		}
	}
	for i := range 20 {
		ask("GET", "one", "/", strings.Repeat("x", i*100))
	}
	for range 3 {
		ask("GET", "one", "/503", "")
		ask("GET", "one", "/299", "")
	}
	ask("GET", "one", "/reset", "")
	for range 2 {
		ask("GET", "two", "/404", "")
	}
	ask("POST", "two", "/", "")
	ask("GET", "nobody", "/", "")

	want := map[string]float64{
		`straum_requests_total route="one" code="200"`:                20,
		`straum_requests_total route="one" code="503"`:                3,
		`straum_requests_total route="one" code="502"`:                1,
		`straum_requests_total route="one" code="2xx"`:                3, // 299 is not registered
		`straum_requests_total route="two" code="404"`:                2,
		`straum_requests_total route="other" code="404"`:              1,
		`straum_requests_total route="other" code="405"`:              1,
		`straum_requests_total`:                                       31,
		`straum_request_duration_seconds_count route="one"`:           27,
		`straum_request_duration_seconds_count`:                       31,
		`straum_own_duration_seconds_count`:                           31,
		`straum_client_received_bytes_total route="one"`:              sent,
		`straum_client_sent_bytes_total route="one"`:                  got,
		`straum_faults_total kind="upstream_reset" side="upstream"`:   1,
		`straum_faults_total kind="no_route" side="client"`:           1,
		`straum_faults_total kind="method_not_allowed" side="client"`: 1,
		`straum_faults_total`:                                         3,
		`straum_unfinished_total`:                                     0,
		`straum_upstream_requests_total upstream="app" class="2xx"`:   23,
		`straum_upstream_requests_total upstream="app" class="5xx"`:   3,
		`straum_upstream_requests_total upstream="app" class="4xx"`:   2,
		`straum_upstream_requests_total upstream="app" class="none"`:  1,
		`straum_upstream_duration_seconds_count upstream="app"`:       29,
		`straum_listener_connections listener="front"`:                1,
		`straum_endpoint_active_requests`:                             0,
		`straum_endpoint_idle_connections`:                            1,
		`straum_log_lost_total`:                                       0,
	}
	for series, value := range want {
		parts := strings.Split(series, " ")
		last := 0.0
		gateway.AwaitFor(t, gateway.Patience, fmt.Sprintf("%s to be %.0f", series, value), func() bool {
			last = g.Number(parts[0], parts[1:]...)
			return last-before.Sum(parts[0], parts[1:]...) == value || strings.Contains(series, "connections") && last == value
		})
	}
	gateway.Await(t, "the lines to be counted", func() bool { return g.Number("straum_log_written_total") == 31 })
}

// Every exchange either used a connection again or says why it could not.
func TestReuse(t *testing.T) {
	t.Parallel()
	g, addr := front(t)
	c := wire.Dial(t, addr)
	ask := func(path string, n int) {
		for range n {
			c.Send("GET " + path + " HTTP/1.1\r\nHost: one\r\n\r\n")
			c.Answer("GET")
		}
	}
	ask("/", 10)     // the first opens
	ask("/close", 5) // the first of these uses the open one again
	ask("/", 2)      // the first opens, since the endpoint had closed
	gateway.Await(t, "12 reused", func() bool { return g.Number("straum_upstream_connections_reused_total", `upstream="app"`) == 11 })
	opened := map[string]float64{}
	for series, n := range g.Numbers() {
		if strings.HasPrefix(series, "straum_upstream_connections_opened_total{") && n > 0 {
			opened[series] = n
		}
	}
	if total := g.Number("straum_upstream_connections_opened_total"); total != 6 || g.Number("straum_upstream_connections_opened_total", `reason="endpoint_closes"`) != 5 {
		t.Errorf("opened %v", opened)
	}
}

// Nothing a client can choose makes the page grow.
func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	g, addr := front(t)
	work := func(worker, n int) {
		c := wire.Dial(t, addr)
		r := rand.New(rand.NewPCG(1, uint64(worker)))
		for i := range n {
			host := []string{"one", "two", fmt.Sprintf("h%x", r.Uint64())}[i%3]
			method := []string{"GET", "POST", fmt.Sprintf("M%X", r.Uint64())}[i/3%3]
			c.Send(fmt.Sprintf("%s /p%x/%x?%x=%x HTTP/1.1\r\nHost: %s\r\nUser-Agent: %x\r\nX-%x: 1\r\n\r\n", method, r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64(), host, r.Uint64(), r.Uint64()))
			c.Answer(method)
		}
	}
	work(99, 200) // all there is to see has been seen once
	gateway.Await(t, "the box to be looked at for the second time", func() bool {
		n := g.Numbers()
		return n.Sum("straum_box_volume_size_bytes") > 0 && n.Sum("straum_box_process_scheduling_p99_seconds") > 0
	})
	before := g.Numbers()
	var group sync.WaitGroup
	for worker := range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			work(worker, 1250)
		}()
	}
	group.Wait()
	if t.Failed() {
		return
	}
	gateway.Await(t, "all to be counted", func() bool { return g.Number("straum_requests_total") == 10_200 })
	for series := range g.Numbers() {
		_, known := before[series]
		// That it was for 8 at a time that connections were opened is a reason of the gateway's own.
		if !known && !strings.HasPrefix(series, "straum_upstream_connections_opened_total{") {
			t.Errorf("%s is new", series)
		}
	}
}
