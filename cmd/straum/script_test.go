package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected parts of testdata")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"straum": func() { os.Exit(run()) }})
}

// TestScripts runs testdata/*.txtar: the program as its users call it. Beside testscript's own commands there are
//
//	code N straum ...       run it and want exit code N
//	await URL STATUS TEXT   ask until the answer has the status, and the text somewhere in head or body
//	get URL TEXT            ask once, and want 200 and the text
//	post URL                POST to it, and want 200
//	signal NAME             send HUP or TERM to the program in the background
//	hold ADDRESS            ask for /hold, which is not answered, and wait until the endpoint was reached
//
// and $ORIGIN, an endpoint that answers with what it was asked; $GATEWAY and $METRICS, addresses that are free; $TAKEN, one that is
// not.
func TestScripts(t *testing.T) {
	held := make(chan bool)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			held <- true
			<-r.Context().Done()
			return
		}
		fmt.Fprintf(w, "%s %s for %s\n", r.Method, r.URL, r.Host)
	}))
	t.Cleanup(origin.Close) // the scripts run in parallel, after this function
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			e.Setenv("ORIGIN", strings.TrimPrefix(origin.URL, "http://"))
			e.Setenv("TAKEN", strings.TrimPrefix(origin.URL, "http://"))
			for _, name := range []string{"GATEWAY", "METRICS"} {
				address, err := free("127.0.0.1:0")
				if err != nil {
					return err
				}
				e.Setenv(name, address)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code, "await": await, "get": get, "post": post, "signal": sendSignal,
			"hold": func(ts *testscript.TestScript, _ bool, args []string) { hold(ts, held, args) }},
	})
}

func code(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if neg || err != nil || len(args) < 2 {
		ts.Fatalf("usage: code N command ...")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: await URL STATUS TEXT")
	}
	var last string
	for by := time.Now().Add(20 * time.Second); time.Now().Before(by); time.Sleep(10 * time.Millisecond) {
		r, err := http.Get(args[0])
		if err != nil {
			last = err.Error()
			continue
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		var head strings.Builder
		_ = r.Header.Write(&head)
		last = fmt.Sprintf("%d\n%s\n%s", r.StatusCode, head.String(), body)
		if strconv.Itoa(r.StatusCode) == args[1] && strings.Contains(last, args[2]) {
			return
		}
	}
	ts.Fatalf("%s never answered %s with %q; last:\n%s", args[0], args[1], args[2], last)
}

func post(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: post URL")
	}
	r, err := http.Post(args[0], "", nil)
	ts.Check(err)
	wantOK(ts, r, "")
}

func get(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: get URL TEXT")
	}
	r, err := http.Get(args[0])
	ts.Check(err)
	wantOK(ts, r, args[1])
}

func wantOK(ts *testscript.TestScript, r *http.Response, text string) {
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	if r.StatusCode != http.StatusOK || !strings.Contains(string(body), text) {
		ts.Fatalf("%s\n%s\nwant 200 and %q", r.Status, body, text)
	}
}

func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	known := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM}
	all := ts.BackgroundCmds()
	if neg || len(args) != 1 || known[args[0]] == 0 || len(all) != 1 {
		ts.Fatalf("usage: signal HUP|TERM, with one program in the background")
	}
	ts.Check(all[0].Process.Signal(known[args[0]]))
}

func hold(ts *testscript.TestScript, held <-chan bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: hold ADDRESS")
	}
	go func() {
		if r, err := http.Get("http://" + args[0] + "/hold"); err == nil {
			r.Body.Close()
		}
	}()
	select {
	case <-held:
	case <-time.After(20 * time.Second):
		ts.Fatalf("the endpoint was never reached")
	}
}

func TestFreeTakesAnotherPort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	got, err := free(ln.Addr().String())
	if err != nil || got == ln.Addr().String() || !strings.HasPrefix(got, "127.0.0.1:") {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := free("no address"); err == nil {
		t.Errorf("got %q for nonsense", got)
	}
}
