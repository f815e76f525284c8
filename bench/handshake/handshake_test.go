package handshake

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// answering is a TLS server that answers every request alike.
func answering(t *testing.T, status int, config *tls.Config) Load {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, "well")
	}))
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)
	return Load{Address: server.Listener.Addr().String(), Name: "bench.test", Path: "/", Connections: 3}
}

func TestResumedHandshakesAreTold(t *testing.T) {
	for name, config := range map[string]*tls.Config{"with tickets": {}, "without tickets": {SessionTicketsDisabled: true}} {
		for _, resume := range []bool{true, false} {
			load := answering(t, http.StatusOK, config.Clone())
			load.Resume = resume
			clients, err := Gather(t.Context(), load)
			if err != nil {
				t.Fatal(err)
			}
			f, err := clients.Run(t.Context(), 100*time.Millisecond)
			if err != nil || f.Errors != 0 {
				t.Fatalf("%s: %+v, %v", name, f, err)
			}
			resumed, tickets := int64(0), int64(0)
			if !config.SessionTicketsDisabled {
				tickets = f.Handshakes
				if resume {
					resumed = f.Handshakes
				}
			}
			if f.Resumed != resumed || f.Tickets != tickets {
				t.Errorf("%s, resume %v: %d of %d resumed, %d tickets; want %d resumed, %d tickets", name, resume, f.Resumed, f.Handshakes, f.Tickets, resumed, tickets)
			}
		}
	}
}

func TestAnotherStatusIsAnError(t *testing.T) {
	if _, err := Gather(t.Context(), answering(t, http.StatusBadGateway, nil)); err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("Gather: %v, want an error that names 502", err)
	}
}

func TestAnswerIsReadToItsEnd(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
	for answer, want := range map[string]bool{"": false, head[:20]: false, head: false, head + "wel": false, head + "well": true} {
		if whole, err := isWhole([]byte(answer)); whole != want || err != nil {
			t.Errorf("isWhole(%q) = %v, %v; want %v", answer, whole, err, want)
		}
	}
	for _, answer := range []string{"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"} {
		if _, err := isWhole([]byte(answer)); err == nil {
			t.Errorf("isWhole(%q): want an error", answer)
		}
	}
}
