package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/control/revision"
)

func newDemo() *cobra.Command {
	c := &cobra.Command{
		Use:   "demo",
		Short: "Take a tour: endpoints, a gateway and what to try",
		Long: `Starts two small endpoints in this process and a gateway in front of them, on loopback, with a
configuration in a temporary directory, and prints what to try. It serves until Ctrl-C and then
removes what it made.`,
		Example: "  straum demo",
		Args:    noArguments,
	}
	listen := c.Flags().String("listen", "127.0.0.1:8080", "the `address` of the gateway; another port is taken when this one is in use")
	c.RunE = func(c *cobra.Command, _ []string) error { return failed(demo(*listen, c.OutOrStdout())) }
	return c
}

func demo(listen string, out io.Writer) error {
	dir, err := os.MkdirTemp("", "straum-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d := &stage{file: filepath.Join(dir, "straum.yaml"), access: filepath.Join(dir, "access.log"), socket: filepath.Join(dir, "admin.sock")}
	defer d.close()
	for i := range d.endpoints {
		a := &d.endpoints[i]
		a.handler = &line{name: "endpoint " + strconv.Itoa(i+1)}
		if err := a.start("127.0.0.1:0"); err != nil {
			return err
		}
	}
	d.prompter.handler = http.HandlerFunc(d.prompt)
	if err := d.prompter.start("127.0.0.1:0"); err != nil {
		return err
	}
	if d.gateway, err = free(listen); err != nil {
		return err
	}
	if d.metrics, err = free("127.0.0.1:9900"); err != nil {
		return err
	}
	if err := os.WriteFile(d.file, []byte(d.config()), 0o600); err != nil {
		return err
	}
	return serve(revision.File(d.file), serving{watch: true, ready: func(*gateway) { fmt.Fprint(out, d.programme()) }})
}

// itself is how this program is called again.
func itself() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ./cmd/straum"
	}
	return os.Args[0]
}

// free returns the address if nobody listens there, and otherwise one with a port that is free now.
func free(address string) (string, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		host, _, splitErr := net.SplitHostPort(address)
		if splitErr != nil {
			return "", err
		}
		if ln, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
			return "", err
		}
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// stage is what the demo shows: two endpoints that can die and come back, and a prompter that tells them to.
type stage struct {
	file, access     string
	socket           string
	gateway, metrics string
	endpoints        [2]endpoint
	prompter         endpoint
}

func (d *stage) close() {
	for i := range d.endpoints {
		d.endpoints[i].stop()
	}
	d.prompter.stop()
}

func (d *stage) config() string {
	return strings.NewReplacer("GATEWAY", d.gateway, "ONE", d.endpoints[0].address, "TWO", d.endpoints[1].address, "PROMPTER", d.prompter.address,
		"ACCESS", d.access, "TEMPORARY", strconv.Quote(os.TempDir()), "METRICS", d.metrics, "SOCKET", d.socket).Replace(`# The demo's configuration. Change it and save: it is put in force at once, or refused and told on the terminal.
listeners:
  - address: GATEWAY

upstreams:
  hello:
    endpoints: [ONE, TWO]
    balance: round_robin
    health: { path: /healthz, every: 1s, timeout: 500ms, fall: 2 }
  prompter:
    endpoints: [PROMPTER]

policies: # on every route
  - request_id: {}

routes:
  - name: hello
    match: { path: /hello }
    upstream: hello
    server_timing: true
  - name: prompter
    match: { path: /_demo/*, methods: POST }
    upstream: prompter

log: { format: text, access: { to: ACCESS } }
metrics: { address: METRICS }
admin: { socket: SOCKET }
sandbox: { write: [TEMPORARY] } # where this directory is removed at the end
`)
}

func (d *stage) programme() string {
	return strings.NewReplacer("GATEWAY", d.gateway, "FILE", d.file, "ACCESS", d.access, "METRICS", d.metrics,
		"SOCKET", d.socket, "STRAUM", itself()).Replace(`
A gateway serves http://GATEWAY in front of two endpoints. Try in another terminal:

  # The endpoints take turns; the head has the request's id, and where its time went.
  curl -i GATEWAY/hello

  # An answer that explains itself.
  curl -i GATEWAY/nowhere

  # Endpoint 2 dies, and no request fails. After two failed checks it is out (see the log below). Then it comes back.
  curl -X POST GATEWAY/_demo/kill/2
  for i in 1 2 3 4; do curl GATEWAY/hello; done
  curl -X POST GATEWAY/_demo/revive/2

  # A change of the configuration is put in force at once; a bad one is refused, and all goes on.
  sed -i.bak 's|path: /hello|path: /bonjour|' FILE
  curl GATEWAY/bonjour
  echo nonsense >> FILE

  # What there is to see: health, pools and why connections were opened; one line a request; metrics.
  STRAUM status --socket SOCKET
  STRAUM upstreams --socket SOCKET
  tail ACCESS
  curl -s http://METRICS/metrics | grep ^straum_

Ctrl-C ends it. What follows is the gateway's own log.

`)
}

// prompt kills and revives endpoints: POST /_demo/kill/2, POST /_demo/revive/2.
func (d *stage) prompt(w http.ResponseWriter, r *http.Request) {
	what, which, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/_demo/"), "/")
	n, err := strconv.Atoi(which)
	if err != nil || n < 1 || n > len(d.endpoints) {
		http.Error(w, "there are endpoints 1 and 2: POST /_demo/kill/2", http.StatusNotFound)
		return
	}
	a := &d.endpoints[n-1]
	switch what {
	case "kill":
		a.stop()
		fmt.Fprintf(w, "endpoint %d is dead\n", n)
	case "revive":
		if err := a.start(a.address); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "endpoint %d is back\n", n)
	default:
		http.Error(w, "the prompter knows kill and revive: POST /_demo/kill/2", http.StatusNotFound)
	}
}

// endpoint is a small server that can die and come back at its address.
type endpoint struct {
	handler http.Handler
	address string // once it was started

	mu     sync.Mutex
	server *http.Server // nil when it is dead
}

func (a *endpoint) start(address string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil {
		return nil
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: a.handler, ReadHeaderTimeout: 5 * time.Second}
	a.address, a.server = ln.Addr().String(), server
	go func() {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintf(os.Stderr, "straum: %s stopped: %s\n", a.address, err)
		}
	}()
	return nil
}

// stop dies: connections break off.
func (a *endpoint) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil {
		_ = a.server.Close() // whether anybody was there is all one
		a.server = nil
	}
}

// line is what an endpoint says.
type line struct{ name string }

func (l *line) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "hello from %s\n", l.name)
}
