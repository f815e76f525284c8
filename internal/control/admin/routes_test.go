package admin

import (
	"strings"
	"testing"

	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/edge/upstream"
)

func TestWhatIsRefused(t *testing.T) {
	w := newWorld(t)
	a := w.admin()
	path := socketIn(t)
	a.serveFor(t, Settings{Socket: path})
	c := caller(t, "unix", path)
	f := func(method, path, body string, want int, detail string) {
		t.Helper()
		status, header, text := ask(t, c, method, path, body, nil)
		if status != want {
			t.Errorf("%s %s: %d %s", method, path, status, text)
			return
		}
		if p := problem(t, header, text); p.Status != want || p.Title == "" || !strings.Contains(text, detail) {
			t.Errorf("%s %s: %s; want %q in it", method, path, text, detail)
		}
	}
	f("GET", "/", "", 404, "there are /openapi.json, /v1/bans, /v1/bans/remove, /v1/bans/why, /v1/box, /v1/cache, /v1/cache/explain, /v1/cache/purge, /v1/certificates, /v1/config, /v1/config.yaml, /v1/credentials, /v1/reload")
	f("GET", "/docs", "", 404, "nothing is at this path")
	f("GET", "/schemas/Status.json", "", 404, "nothing is at this path")
	f("DELETE", "/v1/status", "", 405, "allowed here: GET")
	f("GET", "/v1/reload", "", 405, "allowed here: POST")
	f("GET", "/v1/status?verbose=1", "", 422, "unknown query parameter")
	f("GET", "/v1/routes?limit=0", "", 422, "limit")
	f("GET", "/v1/routes?limit=10001", "", 422, "limit")
	f("GET", "/v1/upstreams/order", "", 404, `did you mean \"orders\"?`)
	f("GET", "/v1/upstreams/payments", "", 404, "there are orders, search")
	f("POST", "/v1/upstreams/orders/breaker", `{"state":"ajar"}`, 422, "open, closed, auto")
	f("POST", "/v1/upstreams/orders/breaker", `{"status":"open"}`, 422, "required property state")
	f("POST", "/v1/upstreams/orders/breaker", ``, 400, "body")
	f("POST", "/v1/upstreams/search/breaker", `{"state":"open"}`, 409, "has no breaker")
	f("POST", "/v1/upstreams/orders/breaker", `{"state":"`+strings.Repeat("x", maxBody)+`"}`, 413, "large")

	w.state = revision.State{}
	f("GET", "/v1/config", "", 503, "no configuration is in force yet")
	f("GET", "/v1/config.yaml", "", 503, "no configuration is in force yet")
	f("GET", "/v1/routes", "", 503, "no configuration is in force yet")
	if status, _, text := ask(t, c, "GET", "/v1/status", "", nil); status != 200 || !strings.Contains(text, `"number":0`) {
		t.Errorf("status before the first revision: %d %s", status, text)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	w := newWorld(t)
	a := w.admin()
	path := socketIn(t)
	a.serveFor(t, Settings{Socket: path})
	c := caller(t, "unix", path)
	if got := w.state.InForce.Config.Admin.Token.Reveal(); got != secret {
		t.Fatalf("the configuration has the token %q", got)
	}
	for _, path := range []string{"/v1/config", "/v1/config.yaml", "/v1/status", "/v1/routes", "/v1/upstreams", "/v1/certificates", "/openapi.json"} {
		status, _, text := ask(t, c, "GET", path, "", nil)
		if status != 200 || strings.Contains(text, secret) {
			t.Errorf("%s: %d %s", path, status, text)
		}
		if strings.HasPrefix(path, "/v1/config") && !strings.Contains(text, "***") {
			t.Errorf("%s does not say that there is a token: %s", path, text)
		}
	}
}

func TestRoutesInStretches(t *testing.T) {
	a := newWorld(t).admin()
	path := socketIn(t)
	a.serveFor(t, Settings{Socket: path})
	c := caller(t, "unix", path)
	f := func(query string, with, without string) {
		t.Helper()
		_, _, text := ask(t, c, "GET", "/v1/routes"+query, "", nil)
		if !strings.Contains(text, `"total":2`) || with != "" && !strings.Contains(text, with) || strings.Contains(text, without) {
			t.Errorf("%s: %s", query, text)
		}
	}
	f("?limit=1", `"name":"orders"`, `"name":"search"`)
	f("?limit=1&offset=1", `"name":"search"`, `"name":"orders"`)
	f("?offset=7", "", `"name"`)
}

// Every reason for opening a connection has words.
func TestMeanings(t *testing.T) {
	n := 0
	for reason := range words() {
		n++
		if meanings[reason] == "" {
			t.Errorf("the reason %q has no meaning here", reason)
		}
	}
	if n != len(meanings) {
		t.Errorf("%d meanings for %d reasons", len(meanings), n)
	}
}

// words goes through the reasons up to the last.
func words() func(yield func(string) bool) {
	return func(yield func(string) bool) {
		defer func() { _ = recover() }() // the first that is none has no word
		for r := upstream.Reason(0); ; r++ {
			word := r.String()
			if !yield(word) {
				return
			}
		}
	}
}

func TestMeasure(t *testing.T) {
	p := measure()
	if p.PID == 0 || p.Heap == 0 || p.Goroutines == 0 {
		t.Errorf("%+v", p)
	}
	if resident() != 0 && (p.Memory < 1<<20 || p.Descriptors < 3 || p.DescriptorLimit < uint64(p.Descriptors)) {
		t.Errorf("%+v", p)
	}
}
