package caller

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"straum.dev/straum/test/gateway"
)

// WebSockets and streams of events pass where a key is asked for, and are refused without it before the endpoint hears of them.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	reached := make(chan string, 100)
	next := make(chan bool)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached <- r.Header.Get("X-Consumer-Id") + r.Header.Get("X-Api-Key")
		if r.URL.Path == "/events" {
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 3 {
				fmt.Fprintf(w, "data: %d\n\n", i)
				w.(http.Flusher).Flush()
				<-next
			}
			return
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, message, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, message) != nil {
				return
			}
		}
	}))
	t.Cleanup(endpoint.Close)
	key, hash := apiKey(t)
	f := open(t, setting{
		endpoint:  endpoint.Listener.Addr().String(),
		consumers: fmt.Sprintf("  - { id: acme, credentials: [ { api_key: %q } ] }\n", hash),
		routes:    "  - { name: all, match: { path: /* }, upstream: app, policies: [ api_key: {} ] }\n",
	})
	ctx, cancel := context.WithTimeout(t.Context(), gateway.Patience)
	defer cancel()
	for _, name := range []string{"h1", "h1+tls"} {
		w := f.way(t, name, nil)
		at := strings.Replace(w.scheme, "http", "ws", 1) + "://" + w.addr + "/socket"
		if _, a, err := websocket.Dial(ctx, at, &websocket.DialOptions{HTTPClient: w.client}); err == nil || a == nil || a.StatusCode != 401 {
			t.Errorf("%s: without a key: %v, %v", name, a, err)
		}
		c, _, err := websocket.Dial(ctx, at, &websocket.DialOptions{HTTPClient: w.client, HTTPHeader: http.Header{"X-Api-Key": {key}}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, message := range []string{"", "hello", strings.Repeat("x", 20_000)} {
			if err := c.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
				t.Fatal(err)
			}
			if _, got, err := c.Read(ctx); err != nil || string(got) != message {
				t.Errorf("%s: %d bytes came back, %v", name, len(got), err)
			}
		}
		c.Close(websocket.StatusNormalClosure, "")
		if who := <-reached; who != "acme" {
			t.Errorf("%s: the endpoint is told %q", name, who)
		}
	}
	for _, name := range allWays {
		w := f.way(t, name, nil)
		w.get(t, "/events").expect(t, "events without a key", 401, "unauthenticated", `ApiKey realm="api"`)
		a, err := w.client.Do(w.request(t, "GET", "/events", nil, with("X-Api-Key", key, "Accept", "text/event-stream")))
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(a.Body)
		for i := range 3 { // each comes before the next is sent
			if line, err := in.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
				t.Errorf("%s: %q, %v", name, line, err)
			}
			in.ReadString('\n')
			next <- true
		}
		a.Body.Close()
		if who := <-reached; who != "acme" {
			t.Errorf("%s: the endpoint is told %q", name, who)
		}
	}
	if len(reached) > 0 {
		t.Errorf("%d requests that were refused reached the endpoint", len(reached))
	}
}
