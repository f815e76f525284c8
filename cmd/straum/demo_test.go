package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"straum.dev/straum/internal/control/revision"
)

func TestThePrompterKillsAndRevives(t *testing.T) {
	d := &stage{}
	defer d.close()
	for i := range d.endpoints {
		d.endpoints[i].handler = &line{name: "endpoint"}
		if err := d.endpoints[i].start("127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	say := func(path string, status int, want string) {
		t.Helper()
		w := httptest.NewRecorder()
		d.prompt(w, httptest.NewRequest(http.MethodPost, path, nil))
		if w.Code != status || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	lives := func(i int) bool {
		r, err := client.Get("http://" + d.endpoints[i].address)
		if err != nil {
			return false
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		return string(body) == "hello from endpoint\n"
	}
	address := d.endpoints[1].address
	if !lives(0) || !lives(1) {
		t.Fatal("an endpoint does not act")
	}
	say("/_demo/kill/2", 200, "endpoint 2 is dead")
	say("/_demo/kill/2", 200, "endpoint 2 is dead")
	if !lives(0) || lives(1) {
		t.Error("not the one that was to die")
	}
	say("/_demo/revive/2", 200, "endpoint 2 is back")
	say("/_demo/revive/2", 200, "endpoint 2 is back")
	if !lives(1) || d.endpoints[1].address != address {
		t.Error("it did not come back where it was")
	}
	say("/_demo/kill/3", 404, "there are endpoints 1 and 2")
	say("/_demo/kill/x", 404, "there are endpoints 1 and 2")
	say("/_demo/bow/1", 404, "knows kill and revive")
}

func TestTheConfigurationsWeWriteAreGood(t *testing.T) {
	d := &stage{gateway: "127.0.0.1:8080", metrics: "127.0.0.1:9900", access: "/tmp/access.log", socket: "/tmp/admin.sock"}
	for i, address := range []string{"127.0.0.1:1", "127.0.0.1:2"} {
		d.endpoints[i].address = address
	}
	d.prompter.address = "127.0.0.1:3"
	p := &proxy{to: []string{`unix:/run/"quoted" ${HOME}`, "127.0.0.1:1"}, listen: ":8080", host: "keep", access: "stdout", metrics: "127.0.0.1:9900"}
	for name, text := range map[string]string{"demo": d.config(), "proxy": p.text()} {
		c, compiled, err := judge(revision.Text(name, text))
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
			continue
		}
		if _, routes, _, _ := compiled.Counts(); routes == 0 {
			t.Errorf("%s: no routes", name)
		}
		if name == "proxy" && c.Upstream("app").Endpoints[0].Address.Path != `/run/"quoted" ${HOME}` {
			t.Errorf("flags are not taken as they are: %q", c.Upstream("app").Endpoints[0].Address.Path)
		}
	}
}
