// Package status answers at the metrics address: /metrics for Prometheus, /healthz and /readyz for whoever decides whether to
// send traffic here. Beside the path; it reads what step 11 counted.
//
// It is served by net/http, apart from the listeners of the gateway, with limits of its own: few connections, small heads, no
// bodies. It refuses methods other than GET and HEAD, to change anything, and to tell more than numbers and short reasons; it
// has no authentication, so its address should not be public.
package status

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

// Check is one condition of being ready.
type Check struct {
	Name string
	// Ready says whether the condition holds and, if not, why in a few words. It is called for each request, from several
	// goroutines, and answers from memory.
	Ready func() (bool, string)
}

// Options of a Status.
type Options struct {
	// Metrics are what /metrics shows. What can be gathered is shown even when something cannot.
	Metrics prometheus.Gatherer
	// Checks must all hold for /readyz to answer 200.
	Checks []Check
	// Aids are conditions that /readyz tells of and that it does not depend on: without them the gateway goes on as well as it can, and
	// taking all gateways of a fleet away because they share one store would be worse.
	Aids []Check
	// ErrorLog takes what goes wrong in a scrape or a connection; nil drops it.
	ErrorLog *log.Logger
}

// The limits of the server.
const (
	maxConnections = 64
	maxScrapes     = 4 // at the same time; more are answered 503
	scrapeTime     = 10 * time.Second
	headerTime     = 5 * time.Second
	readTime       = 10 * time.Second
	writeTime      = 30 * time.Second
	idleTime       = 2 * time.Minute // more than Prometheus's usual minute between scrapes
	maxHeader      = 16 << 10
	stopTime       = 2 * time.Second
)

// Status answers for one gateway. All methods may be called from any goroutine.
type Status struct {
	checks   []Check
	aids     []Check
	draining atomic.Bool
	mux      *http.ServeMux
	errorLog *log.Logger
}

// New makes the handler.
func New(o Options) *Status {
	s := &Status{checks: o.Checks, aids: o.Aids, mux: http.NewServeMux(), errorLog: o.ErrorLog}
	if s.errorLog == nil {
		s.errorLog = log.New(discard{}, "", 0)
	}
	s.mux.Handle("/metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{
		ErrorLog:            s.errorLog,
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTime,
	}))
	s.mux.HandleFunc("/healthz", s.health)
	s.mux.HandleFunc("/readyz", s.ready)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotFound, map[string]any{"error": "no such page", "pages": []string{"/metrics", "/healthz", "/readyz"}})
	})
	return s
}

// Drain makes /readyz answer 503 from now on, so that traffic is sent elsewhere before the gateway stops. /healthz stays as it
// is: a gateway that drains must not be restarted.
func (s *Status) Drain() { s.draining.Store(true) }

// ServeHTTP answers one request.
func (s *Status) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		answer(w, http.StatusMethodNotAllowed, map[string]any{"error": "only GET and HEAD"})
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	s.mux.ServeHTTP(w, r)
}

func (s *Status) health(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"alive": true})
}

// reason is why the gateway is not ready.
type reason struct {
	Check  string `json:"check"`
	Reason string `json:"reason"`
}

func (s *Status) ready(w http.ResponseWriter, _ *http.Request) {
	reasons := []reason{}
	if s.draining.Load() {
		reasons = append(reasons, reason{"drain", "the gateway is stopping"})
	}
	reasons = append(reasons, unmet(s.checks)...)
	status := http.StatusOK
	if len(reasons) > 0 {
		status = http.StatusServiceUnavailable
	}
	answer(w, status, map[string]any{"ready": len(reasons) == 0, "reasons": reasons, "degraded": unmet(s.aids)})
}

func unmet(checks []Check) []reason {
	reasons := []reason{}
	for _, c := range checks {
		if ok, why := c.Ready(); !ok {
			reasons = append(reasons, reason{c.Name, why})
		}
	}
	return reasons
}

func answer(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"no answer"}`)
	}
	body = append(body, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // nobody is left to tell; net/http leaves a HEAD's body out
}

// Serve answers on ln until ctx is done, then gives requests under way a moment to end. It closes ln. It returns nil after ctx
// is done, and otherwise why it could not go on.
func (s *Status) Serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          s.errorLog,
	}
	stopped := make(chan struct{})
	over := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close() // Shutdown told already that not all have ended
		}
	})
	err := server.Serve(netutil.LimitListener(ln, maxConnections))
	if !over() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// discard is a writer for a log nobody wants.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
