package cache

import (
	"net/http"
	"strings"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// lines are those of a text, without the empty ones.
func lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
}

// do sends a request as it is.
func (f *front) do(r *http.Request) (answer, error) {
	got, err := f.h1.Do(r)
	if err != nil {
		return answer{}, err
	}
	return read(got)
}

// TestPurge removes by URL, prefix, tag and altogether, for good and softly; what is not meant stays.
func TestPurge(t *testing.T) {
	t.Parallel()
	endpoint := wire.Listen(t, wire.Recording(new(wire.Recorder), func(m *wire.Message) string {
		if m.Has("If-None-Match") {
			return "HTTP/1.1 304 Not Modified\r\nETag: \"v\"\r\nCache-Control: max-age=3600\r\n\r\n"
		}
		tag := strings.TrimPrefix(m.Target(), "/")
		return "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600, stale-while-revalidate=60\r\nETag: \"v\"\r\nSurrogate-Key: all-of-them " + tag + "\r\nContent-Length: 2\r\n\r\nok"
	}))
	f := open(t, setting{endpoint: endpoint.Addr})
	all := []string{"/a", "/a?x=1", "/b/1", "/b/2", "/c"}
	for _, test := range []struct {
		args []string
		gone []string
	}{
		{[]string{"--url", f.url("/a")}, []string{"/a"}},
		{[]string{"--url", f.url("/a?x=1")}, []string{"/a?x=1"}},
		{[]string{"--prefix", f.url("/b/")}, []string{"/b/1", "/b/2"}},
		{[]string{"--tag", "c"}, []string{"/c"}},
		{[]string{"--tag", "all-of-them"}, all},
		{[]string{"--all"}, all},
		{[]string{"--url", f.url("/nothing")}, nil},
		{[]string{"--url", f.url("/a"), "--soft"}, []string{"/a"}},
		{[]string{"--tag", "all-of-them", "--soft"}, all},
	} {
		for _, path := range all {
			f.soon(path)
		}
		f.must(append([]string{"purge"}, test.args...)...)
		soft := test.args[len(test.args)-1] == "--soft"
		for _, path := range all {
			got := f.get(path)
			if got.status != http.StatusOK || string(got.body) != "ok" || got.header.Get("Surrogate-Key") != "" {
				t.Fatalf("%s: %d %q %v", path, got.status, got.body, got.header)
			}
			want := true
			for _, gone := range test.gone {
				want = want && gone != path
			}
			// What is stale may be served while it is renewed; what is gone may not.
			if got.hit() != want && !(soft && !want) {
				t.Errorf("purge %v: %s: hit is %v: %v", test.args, path, got.hit(), got.header["Cache-Status"])
			}
		}
	}
	for _, wrong := range [][]string{{}, {"--url", "nonsense"}, {"--url", f.url("/a"), "--all"}, {"--tag", ""}, {"--prefix", "/b/"}} {
		if out, code := f.command(append([]string{"purge"}, wrong...)...); code == 0 {
			t.Errorf("straum cache purge %v does something: %s", wrong, out)
		}
	}
}

// TestPurgeUnderway: what was asked for before a purge, and comes after it, is not kept.
func TestPurgeUnderway(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		if p.TryBody(m, "") != nil {
			return false
		}
		arrived <- struct{}{}
		<-release
		return p.TrySend("HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 2\r\n\r\nok") == nil
	})
	f := open(t, setting{endpoint: endpoint.Addr})
	c := wire.Dial(t, f.plain)
	c.Send("GET /a HTTP/1.1\r\nHost: " + f.plain + "\r\n\r\n")
	<-arrived
	f.must("purge", "--url", f.url("/a"))
	close(release)
	if m := c.Answer("GET"); m.Status() != http.StatusOK {
		t.Fatal(m)
	}
	if got := f.get("/a"); got.hit() {
		t.Errorf("what was asked for before the purge was kept: %v", got.header)
	}
	if got := f.get("/a"); !got.hit() {
		t.Errorf("what was asked for after the purge was not: %v", got.header)
	}
}

// TestExplainAndStat: the commands say what is stored and why, and change nothing.
func TestExplainAndStat(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	endpoint := wire.Listen(t, wire.Recording(&seen, func(m *wire.Message) string {
		control := "max-age=3600"
		if m.Target() == "/private" {
			control = "private"
		}
		return "HTTP/1.1 200 OK\r\nCache-Control: " + control + "\r\nContent-Length: 2\r\n\r\nok"
	}))
	f := open(t, setting{endpoint: endpoint.Addr})
	f.soon("/a")
	f.get("/private")
	seen.Take()
	for _, test := range []struct {
		args  []string
		tells []string
	}{
		{[]string{f.url("/a")}, []string{"hit", "memory", "200"}},
		{[]string{f.url("/never")}, []string{"miss"}},
		{[]string{f.url("/private")}, []string{"private"}},
		{[]string{f.url("/a"), "--method", "POST"}, []string{"POST"}},
		{[]string{f.url("/a"), "-H", "Cache-Control: no-cache"}, []string{"no-cache"}},
	} {
		out := f.must(append([]string{"explain"}, test.args...)...)
		for _, word := range test.tells {
			if !strings.Contains(out, word) {
				t.Errorf("straum cache explain %v does not tell of %q:\n%s", test.args, word, out)
			}
		}
	}
	if all := seen.Take(); len(all) > 0 {
		t.Errorf("the endpoint was asked for an explanation: %v", all)
	}
	if out := f.must("stat"); !strings.Contains(out, "memory") {
		t.Errorf("straum cache stat:\n%s", out)
	}
	gateway.Await(t, "the metrics tell of a hit", func() bool { return f.Number("straum_cache_requests_total", `outcome="hit"`) >= 1 })
}
