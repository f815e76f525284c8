package canary

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"straum.dev/straum/test/gateway"
)

// Values that limits count by, cookies that choose an upstream, bodies that are judged and changed, copies of requests, and addresses that
// are banned are as much people's own as credentials are. None is told, but to endpoints; addresses in full are in the admin API alone.
func TestLimitsAndBodies(t *testing.T) {
	t.Parallel()
	c := &canaries{all: map[string]string{}}
	dir, err := os.MkdirTemp("", "canary") // with a short name, as sockets need
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listen, socket, access := gateway.Free(t), filepath.Join(dir, "admin.sock"), filepath.Join(dir, "access.log")
	var copied atomic.Int64
	answered := c.new("a value in an answer that is no JSON")
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Header.Get("X-Straum-Mirrored") != "": // a copy is answered with all that came
			copied.Add(1)
			w.WriteHeader(500)
			fmt.Fprintf(w, "%s %v %s", r.URL, r.Header, body)
		case r.URL.Path == "/answer":
			fmt.Fprintf(w, `{"a": %q, %s`, answered, answered)
		default:
			fmt.Fprint(w, "{}")
		}
	}))
	defer app.Close()
	at := strings.TrimPrefix(app.URL, "http://")
	const banned, inNetwork = "203.0.113.66", "203.0.113.0"
	reason := c.new("the reason of somebody who bans")
	config := fmt.Sprintf(`
listeners:
  - { name: main, address: %q, trusted_proxies: [ 127.0.0.0/8 ] }
upstreams:
  app: { endpoints: [ %q ] }
  next: { endpoints: [ %[2]q ] }
  shadow: { endpoints: [ %[2]q ] }
log: { access: { to: %[3]q }, level: debug }
admin: { socket: %[4]q }
state: %[5]q
bans: { threshold: 40 }
routes:
  - { name: rate, match: { path: /rate }, upstream: app, policies: [ rate_limit: { rate: 1/h, burst: 2, by: "header:X-Account", fields: both } ] }
  - { name: quota, match: { path: /quota }, upstream: app, policies: [ quota: { requests: 2, by: "header:X-Account" } ] }
  - { name: split, match: { path: /split }, upstream: app, policies: [ split: { to: { app: 1, next: 1 }, by: cookie } ] }
  - { name: header, match: { path: /header }, upstream: app, policies: [ split: { to: { app: 1, next: 1 }, by: header, header: X-Account } ] }
  - name: schema
    match: { path: /schema }
    upstream: app
    policies:
      - validate: { schema: { type: object, required: [ id ], additionalProperties: false, properties: { id: { type: string, pattern: "^[0-9]+$", maxLength: 9 }, n: { type: integer, enum: [ 1 ] }, when: { type: string, format: date } } } }
  - { name: change, match: { path: /change }, upstream: app, policies: [ transform_json: { request: { remove: [ /a/b ], set: { /x/y: 1 } } } ] }
  - { name: answer, match: { path: /answer }, upstream: app, policies: [ transform_json: { response: { remove: [ /a ] } } ] }
  - { name: mirror, match: { path: /mirror }, upstream: app, policies: [ mirror: { upstream: shadow } ] }
  - { name: key, match: { path: /key }, upstream: app, policies: [ api_key: {} ] }
`, listen, at, access, socket, filepath.Join(dir, "state"))
	g := gateway.Start(t, config)

	client := &http.Client{Timeout: gateway.Patience, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	t.Cleanup(client.CloseIdleConnections)
	var answers bytes.Buffer
	requests := 0
	seen := map[string]map[int]int{}
	ask := func(path, body string, fields ...string) int {
		t.Helper()
		method := "GET"
		if body != "" {
			method = "POST"
		}
		r, err := http.NewRequest(method, "http://"+listen+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(fields); i += 2 {
			r.Header.Set(fields[i], fields[i+1])
		}
		a, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		text, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		requests++
		if seen[path] == nil {
			seen[path] = map[int]int{}
		}
		seen[path][a.StatusCode]++
		fmt.Fprintf(&answers, "%s %d %v %s\n", path, a.StatusCode, a.Header, text)
		return a.StatusCode
	}
	account, cookie := c.new("an account"), c.new("a cookie")
	for range 4 {
		ask("/rate", "", "X-Account", account)
		ask("/quota", "", "X-Account", account)
		ask("/header", "", "X-Account", account)
		ask("/split", "", "Cookie", "straum_split="+cookie)
	}
	v := func() string { return c.new(fmt.Sprint("a value in a body ", len(c.all))) }
	extra := v() // a name the schema does not know; where it stands is told, to whoever sent it
	for _, path := range []string{"/schema", "/change"} {
		for _, body := range []string{
			`{"id": "` + v() + `"}`, `{"id": {"` + v() + `": "` + v() + `"}}`, `{"id": "1", "` + extra + `": 1}`, `{"id": "1", "n": "` + v() + `"}`, `{"id": "1", "when": "` + v() + `"}`,
			`"` + v() + `"`, `["` + v() + `"]`, `{"a": "` + v() + `", "x": "` + v() + `"}`, `{"` + v() + `": `, v(), `{"a": ` + v() + `}`, `{"a": "` + v() + "\x01" + `"}`, `{"a": "\u12` + v() + `"}`,
			`{"a": 1, "a": "` + v() + `"}`,
		} {
			ask(path, body)
			ask(path, body, "Content-Type", "text/"+v())
			ask(path, body, "Content-Encoding", v())
		}
		name := v() // twice in one object
		ask(path, `{"`+name+`": 1, "`+name+`": 2}`)
	}
	ask("/answer", "")
	ask("/mirror", `{"a": "`+v()+`"}`, "X-Account", v(), "Cookie", "a="+v(), "Authorization", "Bearer "+v())
	for range 6 {
		ask("/key", "", "X-Forwarded-For", banned, "X-Api-Key", c.new(fmt.Sprint("a key ", len(c.all))))
	}
	for path, want := range map[string]int{"/rate": 429, "/quota": 429, "/split": 200, "/header": 200, "/schema": 422, "/change": 400, "/answer": 502, "/mirror": 200, "/key": 403} {
		if seen[path][want] == 0 {
			t.Errorf("no request for %s was answered %d: %v", path, want, seen[path])
		}
	}
	gateway.Await(t, "the copy", func() bool { return copied.Load() == 1 })
	gateway.Await(t, "the line of the ban", func() bool { return g.Logged("banned") && g.Logged(inNetwork) })

	texts := map[string]string{"an answer": strings.ReplaceAll(answers.String(), extra, "")}
	for _, args := range [][]string{{"status"}, {"upstreams"}, {"config", "show"}} {
		out, code := run(t, "", append(args, "--socket", socket)...)
		if code != 0 {
			t.Errorf("%v: %d %s", args, code, out)
		}
		texts["straum "+strings.Join(args, " ")] = out
	}
	door := &http.Client{Timeout: gateway.Patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	t.Cleanup(door.CloseIdleConnections)
	for _, path := range []string{"/v1/status", "/v1/config", "/v1/routes", "/v1/upstreams"} {
		texts[path] = fetch(t, door, "http://admin"+path)
	}
	if list := fetch(t, door, "http://admin/v1/bans"); !strings.Contains(list, banned) {
		t.Errorf("the list of bans has %s", list)
	}
	if out, code := run(t, "", "ban", "add", "198.51.100.7", "--reason", reason, "--socket", socket); code != 0 {
		t.Errorf("%d %s", code, out)
	}
	texts["the metrics"] = fetch(t, client, "http://"+g.Status+"/metrics")
	gateway.Await(t, "the access log", func() bool {
		text, _ := os.ReadFile(access) // empty tells
		texts["the access log"] = string(text)
		return strings.Count(string(text), "\n") >= requests
	})
	if code := g.Stop(); code != 0 {
		t.Errorf("got the exit code %d", code)
	}
	log := g.Log()
	if !strings.Contains(log, reason) {
		t.Error("the log has not why somebody was banned")
	}
	texts["the log"] = strings.ReplaceAll(log, reason, "")
	for where, text := range texts {
		if strings.Contains(text, banned) {
			t.Errorf("%s has the address of who was banned", where)
		}
		for _, found := range c.search(where, text) {
			t.Error(found)
		}
	}
	// Of what is kept bans alone have addresses, and nothing has what limits count by.
	filepath.Walk(filepath.Join(dir, "state"), func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v", path, info.Mode())
		}
		for _, found := range c.search(path, strings.ReplaceAll(string(text), reason, "")) {
			t.Error(found)
		}
		return nil
	})
	t.Logf("%d secrets, %d texts of %d bytes, answers %v", len(c.all), len(texts), size(texts), seen)
}
