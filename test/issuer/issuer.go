// Package issuer runs a real OpenID provider, test/provider, for the black-box tests: it builds it once a test process, starts it on a port
// of its own, and tells it to misbehave. It is no step of the request.
package issuer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
)

var built struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// program builds the provider and returns its path. The go command finds by itself what it has built before.
func program(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		var root []byte
		if root, built.err = exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "straum.dev/straum").Output(); built.err != nil {
			return
		}
		if built.dir, built.err = os.MkdirTemp("", "straum-issuer-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "provider")
		cmd := exec.Command("go", "build", "-o", built.path, ".")
		cmd.Dir = filepath.Join(strings.TrimSpace(string(root)), "test", "provider")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatalf("the provider cannot be built (its modules come with `go mod download` in test/provider): %v", built.err)
	}
	return built.path
}

// Main runs the tests of a package like gateway.Main, and removes the provider that was built for them.
func Main(m *testing.M) int {
	code := gateway.Main(m)
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	return code
}

// Issuer is one running provider.
type Issuer struct {
	URL string // the issuer, without a slash at its end

	t     testing.TB
	cmd   *exec.Cmd
	ended chan struct{}
	args  []string
	admin *http.Client
}

// Start runs a provider with these flags (see test/provider/main.go) until the test ends, and waits until it is ready.
func Start(t testing.TB, flags ...string) *Issuer {
	t.Helper()
	i := &Issuer{t: t, args: flags, admin: &http.Client{Timeout: gateway.Patience, Transport: &http.Transport{DisableKeepAlives: true}}}
	i.start("127.0.0.1:0")
	t.Cleanup(i.Stop)
	return i
}

func (i *Issuer) start(address string) {
	i.t.Helper()
	i.cmd = exec.Command(program(i.t), append([]string{"-addr", address}, i.args...)...)
	i.cmd.Stderr = os.Stderr
	out, err := i.cmd.StdoutPipe()
	if err != nil {
		i.t.Fatal(err)
	}
	if err := gateway.Spawn(i.cmd); err != nil {
		i.t.Fatal(err)
	}
	var ready struct{ Issuer string }
	line, _ := bufio.NewReader(out).ReadBytes('\n')
	ended, cmd := make(chan struct{}), i.cmd
	i.ended = ended
	go func() {
		_ = cmd.Wait() // it is killed
		close(ended)
	}()
	if err := json.Unmarshal(line, &ready); err != nil {
		i.t.Fatalf("the provider is not ready: %v: %q", err, line)
	}
	i.URL = ready.Issuer
}

// Stop ends it at once.
func (i *Issuer) Stop() {
	_ = i.cmd.Process.Kill() // it may have ended
	<-i.ended
}

// Again starts it once more where it was, after Stop. It has forgotten everything.
func (i *Issuer) Again() {
	i.t.Helper()
	i.start(strings.TrimPrefix(i.URL, "http://"))
}

// Pause stops its processes from running until Resume: it takes connections and answers nothing.
func (i *Issuer) Pause() { i.t.Helper(); gateway.Pause(i.t, i.cmd.Process) }

// Resume ends a Pause.
func (i *Issuer) Resume() { _ = i.cmd.Process.Signal(syscall.SIGCONT) }

// Plan is what a path does instead of what it should.
type Plan struct {
	Path   string
	Times  int           // how many requests it is for; 0 is all until the next Plan
	Wait   time.Duration // before anything else
	Status int           // 0 is to go on as usual
	Body   string
	Close  bool // end the connection without an answer
}

// Do sets the plan of a path.
func (i *Issuer) Do(p Plan) { i.t.Helper(); i.post("/admin/plan", p) }

// Rotate makes it sign with a new key. The older ones stay in its key set when keep is set.
func (i *Issuer) Rotate(keep bool) {
	i.t.Helper()
	if keep {
		i.post("/admin/rotate?keep", nil)
		return
	}
	i.post("/admin/rotate", nil)
}

// Claims sets what the ID tokens of later logins hold besides.
func (i *Issuer) Claims(claims map[string]any) { i.t.Helper(); i.post("/admin/claims", claims) }

// Call sets what it calls itself in the iss of its answers to browsers: "-" leaves it out, and empty is its name.
func (i *Issuer) Call(name string) {
	i.t.Helper()
	if name == "" {
		i.post("/admin/iss", nil)
		return
	}
	i.post("/admin/iss?is="+url.QueryEscape(name), nil)
}

func (i *Issuer) post(path string, v any) {
	i.t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		i.t.Fatal(err)
	}
	r, err := i.admin.Post(i.URL+path, "application/json", bytes.NewReader(body))
	if err != nil {
		i.t.Fatal(err)
	}
	defer r.Body.Close()
	if text, _ := io.ReadAll(r.Body); r.StatusCode != http.StatusOK {
		i.t.Fatalf("%s: %s: %s", path, r.Status, text)
	}
}

// Count is how many requests a path has seen, such as /token.
func (i *Issuer) Count(path string) int {
	i.t.Helper()
	r, err := i.admin.Get(i.URL + "/admin/counts")
	if err != nil {
		i.t.Fatal(err)
	}
	defer r.Body.Close()
	counts := map[string]int{}
	if err := json.NewDecoder(r.Body).Decode(&counts); err != nil {
		i.t.Fatal(err)
	}
	return counts[path]
}

// Token gets an access token by client credentials.
func (i *Issuer) Token(client, secret string, values url.Values) string {
	i.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}}
	for k, v := range values {
		form[k] = v
	}
	request, err := http.NewRequest(http.MethodPost, i.URL+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		i.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(secret))
	r, err := i.admin.Do(request)
	if err != nil {
		i.t.Fatal(err)
	}
	defer r.Body.Close()
	var got struct {
		AccessToken string `json:"access_token"`
		Error       string `json:"error_description"`
	}
	if err := json.NewDecoder(r.Body).Decode(&got); err != nil || got.AccessToken == "" {
		i.t.Fatalf("no token: %v, %s, %s", err, r.Status, got.Error)
	}
	return got.AccessToken
}
