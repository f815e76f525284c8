package certificate

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"straum.dev/straum/internal/profile"
	"straum.dev/straum/internal/staple"
	"straum.dev/straum/internal/ticket"
)

// The packages of a listener's TLS know nothing of each other; this is how they are joined, with everything running and files, staples
// and keys changing under the handshakes.
func TestJoined(t *testing.T) {
	a := newAuthority(t)
	responder := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		question, _ := io.ReadAll(r.Body)
		q, err := ocsp.ParseRequest(question)
		if err != nil {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		answer, err := ocsp.CreateResponse(a.cert, a.cert, ocsp.Response{
			Status: ocsp.Good, SerialNumber: q.SerialNumber, ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
		}, a.key)
		if err != nil {
			panic(err)
		}
		rw.Write(answer)
	}))
	defer responder.Close()
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()

	stapler := staple.New(staple.Options{Log: log, Dir: filepath.Join(dir, "staples")})
	store := NewStore(Options{Log: log, Follow: stapler.Follow, Drop: stapler.Drop, Stapling: func(id string) string { return stapler.Status(id).String() }})
	source, err := ticket.NewFile(filepath.Join(dir, "tickets"), ticket.Period(ticket.DefaultPeriod), log)
	if err != nil {
		t.Fatal(err)
	}
	keys := ticket.New(ticket.Options{Source: source, Log: log})

	o := order{names: []string{"a.example"}, responder: responder.URL}
	p := a.files(t, dir, "a", o)
	choice := prepare(t, store, Settings{Pairs: []Pair{p}})
	settings := profile.Settings{Protocols: []string{"h2", "http/1.1"}, Certificate: choice.GetCertificate}
	config, err := profile.Server(settings)
	if err != nil {
		t.Fatal(err)
	}
	keys.Use(config, settings.Context("main"))
	store.Retire(choice)

	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { store.Run(ctx) })
	running.Go(func() { stapler.Run(ctx) })
	running.Go(func() { keys.Run(ctx) })
	defer running.Wait()
	defer cancel()

	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				if nc.(*tls.Conn).Handshake() == nil {
					nc.Write([]byte("x"))
				}
				nc.Close()
			})
		}
	})
	defer serving.Wait()
	defer l.Close()

	roots := newPool(a)
	sessions := tls.NewLRUClientSessionCache(1)
	visit := func(resume bool) tls.ConnectionState {
		t.Helper()
		c := &tls.Config{RootCAs: roots, ServerName: "a.example"}
		if resume {
			c.ClientSessionCache = sessions
		}
		nc, err := tls.Dial("tcp", l.Addr().String(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		io.ReadFull(nc, make([]byte, 1)) // the ticket comes before it
		return nc.ConnectionState()
	}
	stapled := func(serial string) func() bool {
		return func() bool {
			cs := visit(false)
			leaf := cs.PeerCertificates[0]
			if len(cs.OCSPResponse) == 0 || serial != "" && leaf.SerialNumber.String() == serial {
				return false
			}
			r, err := ocsp.ParseResponseForCert(cs.OCSPResponse, leaf, a.cert)
			return err == nil && r.Status == ocsp.Good
		}
	}
	await(t, "stapled", stapled(""))
	first := visit(true).PeerCertificates[0]
	if !visit(true).DidResume {
		t.Error("a session was not resumed")
	}
	a.renew(t, p, o)
	await(t, "another certificate, stapled", stapled(first.SerialNumber.String()))
	if !visit(true).DidResume {
		t.Error("a session did not outlive the certificate")
	}
	if got := store.Status()[0].Stapling; !strings.HasPrefix(got, "stapled, good until") {
		t.Errorf("status says %q", got)
	}
	store.Retire()
	if got := stapler.Status(p.ID()); got.Followed {
		t.Error("the stapler looks after what is not shown any more")
	}
}
