package main

import (
	"bytes"
	"errors"
	"flag"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/spf13/cobra"

	"straum.dev/straum/internal/control/client"
)

var updateGateway = flag.Bool("update-gateway", false, "rewrite what the commands print in testdata/gateway")

// TestGatewayCommands runs the scripts in testdata/gateway: a command line, what the gateway answers to METHOD path, and what the
// command prints; an error is printed with its exit code.
func TestGatewayCommands(t *testing.T) {
	files, err := filepath.Glob("testdata/gateway/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			script, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			answers := map[string][]byte{}
			var args []string
			want := -1
			for i, f := range script.Files {
				switch f.Name {
				case "args":
					args = strings.Fields(string(f.Data))
				case "want":
					want = i
				default:
					answers[f.Name] = f.Data
				}
			}
			got := runCommand(append(args, "--socket", fakeGateway(t, answers)))
			if *updateGateway {
				script.Files[want].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(script), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got != string(script.Files[want].Data) {
				t.Errorf("straum %s prints\n%s\nwant\n%s", strings.Join(args, " "), got, script.Files[want].Data)
			}
		})
	}
}

// fakeGateway answers at a socket, with a problem where the answer has a status of 400 or more.
func fakeGateway(t *testing.T, answers map[string][]byte) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "straum") // with a short name, as sockets need
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "admin.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Method + " " + r.URL.RequestURI()
		answer, ok := answers[asked]
		if problem, refused := answers["refuse "+asked]; refused {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnprocessableEntity)
			answer, ok = problem, true
		}
		if !ok {
			t.Errorf("the gateway was asked %s", asked)
		}
		_, _ = w.Write(answer)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ln) }()
	t.Cleanup(func() { s.Close(); <-done; os.RemoveAll(dir) })
	return path
}

func runCommand(args []string) string {
	var out bytes.Buffer
	root := &cobra.Command{Use: "straum", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(newStatus(), newUpstreams(), newCertificates(), newCredentials(), newBan(), newCache(), newReload(), newConfig())
	root.SetOut(&out)
	root.SetArgs(args)
	if err := root.Execute(); err != nil {
		out.WriteString("error: " + err.Error() + "\n")
		var c *coded
		if errors.As(err, &c) {
			out.WriteString("exit code " + string(rune('0'+c.code)) + "\n")
		}
	}
	return out.String()
}

func TestTheSocketOfAConfiguration(t *testing.T) {
	f := func(text, want, refusal string) {
		t.Helper()
		got, err := socketIn("straum.yaml", []byte(text))
		if got != want || (err == nil) != (refusal == "") || err != nil && !strings.Contains(err.Error(), refusal) {
			t.Errorf("%q: %q, %v; want %q, %q", text, got, err, want, refusal)
		}
	}
	f("", client.DefaultSocket, "")
	f("admin: { socket: /tmp/a.sock }", "/tmp/a.sock", "")
	f("lisseners: []\nadmin: { socket: /tmp/a.sock, address: nonsense, token: 'file:/not/there' }", "/tmp/a.sock", "") // broken elsewhere
	f("admin: off", "", "has no admin socket")
	f(`admin: { socket: "" }`, "", "has no admin socket")
	f("admin: [", "", "cannot be learnt")
}

func TestWhichGateway(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	socket := func(args ...string) string {
		t.Helper()
		out := runCommand(append([]string{"status"}, args...))
		if !strings.HasSuffix(out, "exit code 1\n") {
			t.Errorf("%v: %s", args, out)
		}
		return out
	}
	named := filepath.Join(dir, "named.sock")
	f := func(want string, args ...string) {
		t.Helper()
		if out := socket(args...); !strings.Contains(out, want) {
			t.Errorf("%v: %s; want %s in it", args, out, want)
		}
	}
	f(named, "--socket", named)
	f("no such file", "-c", "other.yaml")
	if err := os.WriteFile("straum.yaml", []byte("admin: { socket: "+named+" }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(named) // the file that is run by default
	f(named, "-c", "straum.yaml")
}

func TestUnits(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(age(inSeconds(-1)), "0s")
	f(age(inSeconds(59.9)), "59s")
	f(age(inSeconds(61)), "1m 1s")
	f(age(inSeconds(3600)), "1h 0m")
	f(age(inSeconds(3*86400+7200)), "3d 2h")
	f(span(0), "-")
	f(span(9.996e-6), "10.0µs")
	f(span(20e-6), "20.0µs")
	f(span(999.4e-6), "999µs")
	f(span(999.6e-6), "1.00ms")
	f(span(0.032), "32.0ms")
	f(span(65.5), "65.5s")
	f(percent(0), "0.0%")
	f(percent(0.0001), "<0.1%")
	f(percent(0.5), "50.0%")
	f(percent(0.99999), ">99.9%")
	f(percent(1), "100.0%")
	f(size(0), "unknown")
	f(size(512<<10), "512 KiB")
	f(size(41<<20), "41.0 MiB")
	f(size(3<<30), "3.00 GiB")
}
