package forwardauth

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
	"straum.dev/straum/internal/fetch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// decides is a service that decides as how says.
func decides(t testing.TB, how http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(how)
	t.Cleanup(s.Close)
	return s.URL
}

func header(x *exchange.Exchange) string { return lines(&x.Request.Header) }

func lines(fields *exchange.Fields) string {
	var all []string
	for _, f := range fields.All() {
		all = append(all, f.Name+": "+f.Value)
	}
	return strings.Join(all, "\n")
}

func body(t *testing.T, x *exchange.Exchange) string {
	t.Helper()
	var b []byte
	for x.Response.Body != nil {
		run, err := x.Response.Body.Next()
		b = append(b, run...)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return string(b)
}

// The service gets what it is to decide on, and nothing else.
func TestWhatTheServiceGets(t *testing.T) {
	var got string
	service := decides(t, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var all []string
		for name, values := range r.Header {
			all = append(all, fmt.Sprintf("%s=%s", name, strings.Join(values, "|")))
		}
		slices.Sort(all)
		got = fmt.Sprintf("%s %s %q %s", r.Method, r.RequestURI, b, strings.Join(all, " "))
	})
	f := func(options, request, want string) {
		t.Helper()
		got = "nothing"
		r := policytest.New(t).Policy(Kind, fmt.Sprintf("{url: '%s/verify?a=b', %s}", service, options))
		if x := r.Ask(request); x.Fault != nil || x.Answered() {
			t.Fatalf("%v", x.Fault)
		}
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", options, got, want)
		}
	}
	const forwarded = "X-Forwarded-For=192.0.2.1 X-Forwarded-Host=api.example.com:8080 X-Forwarded-Method=%s X-Forwarded-Proto=http X-Forwarded-Uri=%s"
	on := func(method, uri string) string { return fmt.Sprintf(forwarded, method, uri) }
	const post = "POST /orders/1?c=d HTTP/1.1\r\nHost: API.example.com:8080\r\nauthorization: Bearer a\r\ncookie: s=1\r\nCookie: u=2\r\nContent-Type: text/plain\r\n" +
		"X-A: 1\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Uri: /public\r\nX-Forwarded-Method: GET\r\nX-Consumer-Id: root\r\nContent-Length: 4\r\n\r\nbody"
	f("", post, `GET /verify?a=b "" Authorization=Bearer a Cookie=s=1|u=2 User-Agent=Straum `+on("POST", "/orders/1?c=d"))
	f("method: same", post, `POST /verify?a=b "" Authorization=Bearer a Content-Length=0 Cookie=s=1|u=2 User-Agent=Straum `+on("POST", "/orders/1?c=d"))
	f("method: HEAD, request_headers: [x-a, User-Agent]", post, `HEAD /verify?a=b "" User-Agent=Straum X-A=1 `+on("POST", "/orders/1?c=d"))
	f("request_headers: [Accept, user-agent]", "GET / HTTP/1.1\r\nHost: api.example.com:8080\r\nUser-Agent: curl\r\nAccept: */*\r\n\r\n", `GET /verify?a=b "" Accept=*/* User-Agent=curl `+on("GET", "/"))
}

func TestAccepted(t *testing.T) {
	service := decides(t, func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h["X-User"] = []string{"alice", "second"}
		h.Set("X-Role", "admin")
		h.Set("X-Secret", "s3cr3t")
		h.Set("Set-Cookie", "a=b")
		h.Set("Authorization", "Bearer inner")
		rw.WriteHeader(204)
	})
	f := func(options, request, want string) *exchange.Exchange {
		t.Helper()
		x := policytest.New(t).Policy(Kind, fmt.Sprintf("{url: '%s', %s}", service, options)).Ask(request)
		if x.Fault != nil || x.Answered() || x.Caller.Method != "forward_auth" || policytest.Verdict(x, "forward_auth") != "accepted" {
			t.Fatalf("%v %+v", x.Fault, x.Caller)
		}
		if got := header(x); got != want {
			t.Errorf("%s: the endpoint gets\n%s\nwant\n%s", options, got, want)
		}
		return x
	}
	const method = "\nX-Auth-Method: forward_auth"
	const forged = "GET / HTTP/1.1\r\nHost: a\r\nX-User: root\r\nx-user: root\r\nX_User: root\r\nx_USER: root\r\nX-User-Id: 7\r\nX-Role: root\r\nAuthorization: Bearer outer\r\n\r\n"
	f("", "GET / HTTP/1.1\r\nHost: a\r\nX-User: root\r\n\r\n", "Host: a\nX-User: root"+method)
	f("response_headers: [X-User, X-Role]", forged, "Host: a\nX-User-Id: 7\nAuthorization: Bearer outer\nX-Role: admin\nX-User: alice\nX-User: second"+method)
	f("response_headers: [x-user, X-Absent, authorization]", forged+"", "Host: a\nX-User-Id: 7\nX-Role: root\nauthorization: Bearer inner\nx-user: alice\nx-user: second"+method)
	x := f("subject_header: X-User", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "Host: a"+method+"\nX-Auth-Subject: alice")
	if x.Caller.Subject != "alice" || x.Signals != 0 {
		t.Errorf("%+v, signals %d", x.Caller, x.Signals)
	}
}

// Whoever is accepted, and however, a client's fields never pass for the service's.
func TestForgedFieldsAreRemovedWithoutConsent(t *testing.T) {
	service := decides(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("X-User", "alice")
		rw.WriteHeader(401)
	})
	const options = "{url: '%s', response_headers: [X-User]}"
	const forged = "GET / HTTP/1.1\r\nHost: a\r\nX-User: root\r\nX_User: root\r\n\r\n"
	for name, uses := range map[string][]policytest.Use{
		"another was accepted before":  {{Kind: other, YAML: "{}"}, {Kind: Kind, YAML: fmt.Sprintf(options, service)}},
		"another was accepted instead": {{Kind: Kind, YAML: fmt.Sprintf(options, service)}, {Kind: other, YAML: "{}"}},
		"anonymous":                    {{Kind: anonymous, YAML: "{}"}, {Kind: Kind, YAML: fmt.Sprintf(options, service)}},
	} {
		x := policytest.New(t).Policies(uses...).Ask(forged)
		if x.Fault != nil || x.Answered() {
			t.Fatalf("%s: %v", name, x.Fault)
		}
		if got := header(x); strings.Contains(got, "root") || strings.Contains(got, "alice") {
			t.Errorf("%s: the endpoint gets\n%s", name, got)
		}
	}
}

// An Authorization that the service did not accept does not reach the endpoint as if it had, whoever was accepted.
func TestUnacceptedAuthorization(t *testing.T) {
	service := decides(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer good" {
			rw.WriteHeader(401)
		}
	})
	use := func(options string) policytest.Use {
		return policytest.Use{Kind: Kind, YAML: fmt.Sprintf("{url: '%s'%s}", service, options)}
	}
	vouches := policy.Kind{Name: "other", Build: func(policy.Options) (any, error) { return accepts{vouched: "forged"}, nil }}
	f := func(authorization, want string, uses ...policytest.Use) {
		t.Helper()
		x := policytest.New(t).Policies(uses...).Ask("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: " + authorization + "\r\n\r\n")
		if got, _ := x.Request.Header.Get(exchange.Authorization); x.Fault != nil || x.Answered() || got != want {
			t.Errorf("%s: %v, the endpoint gets %q, want %q", authorization, x.Fault, got, want)
		}
	}
	another := policytest.Use{Kind: other, YAML: "{}"}
	f("Bearer good", "Bearer good", use(""))
	f("Bearer forged", "", another, use(""))
	f("Bearer forged", "", use(""), another)
	f("Bearer forged", "Bearer forged", use(", request_headers: [Cookie]"), another) // not its to judge
	f("Bearer forged", "Bearer forged", use(""), policytest.Use{Kind: vouches, YAML: "{}"})
	f("Bearer good forged", "", use(""), another)
}

// The cookie of another method that is kept from endpoints is kept from the service too.
func TestCookieOfAnother(t *testing.T) {
	var got atomic.Value
	service := decides(t, func(_ http.ResponseWriter, r *http.Request) { got.Store(strings.Join(r.Header["Cookie"], "; ")) })
	places := &policy.Shown{Cookie: "key"}
	shows := policy.Kind{Name: "shows", Build: func(o policy.Options) (any, error) { return looks{places}, places.Check(o) }}
	for _, cache := range []string{"", ", cache: 1h"} {
		r := policytest.New(t).Policies(policytest.Use{Kind: shows, YAML: "{}"}, policytest.Use{Kind: Kind, YAML: fmt.Sprintf("{url: '%s'%s}", service, cache)})
		x := r.Ask("GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; key=s3cr3t; c=d\r\n\r\n")
		if x.Fault != nil || got.Load() != "a=b; c=d" || strings.Contains(header(x), "s3cr3t") {
			t.Errorf("%v, the service gets %q, the endpoint\n%s", x.Fault, got.Load(), header(x))
		}
	}
}

// looks is a method that refuses what it finds.
type looks struct{ places *policy.Shown }

func (l looks) Authenticate(x *exchange.Exchange) policy.Finding {
	if _, times := l.places.Find(x); times > 0 {
		return policy.Refused
	}
	return policy.Nothing
}
func (looks) Challenge(*exchange.Exchange, policy.Finding)        {}
func (l looks) Hide(x *exchange.Exchange, finding policy.Finding) { l.places.Take(x, finding) }

// other accepts everybody; anonymous lets those in who show nothing.
var (
	other     = policy.Kind{Name: "other", Build: func(policy.Options) (any, error) { return accepts{}, nil }}
	anonymous = policy.Kind{Name: "authenticate", Build: func(policy.Options) (any, error) {
		return &policy.Terms{Anonymous: &consumer.Consumer{ID: "nobody", Name: "nobody"}}, nil
	}}
	asks = policy.Kind{Name: "asks", Build: func(policy.Options) (any, error) { return challenges{}, nil }}
)

type accepts struct{ vouched string }

func (a accepts) Authenticate(x *exchange.Exchange) policy.Finding {
	x.Vouched = a.vouched
	return policy.Accepted
}
func (accepts) Challenge(*exchange.Exchange, policy.Finding) {}
func (accepts) Hide(*exchange.Exchange, policy.Finding)      {}

type challenges struct{}

func (challenges) Authenticate(*exchange.Exchange) policy.Finding { return policy.Nothing }
func (challenges) Challenge(x *exchange.Exchange, _ policy.Finding) {
	x.Challenges = append(x.Challenges, "Asks")
}
func (challenges) Hide(*exchange.Exchange, policy.Finding) {}

// The client gets the service's refusal, as far as the operator lets it.
func TestRefused(t *testing.T) {
	var status int
	var text string
	service := decides(t, func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h["Www-Authenticate"] = []string{`Bearer realm="a"`, "Negotiate"}
		h["Set-Cookie"] = []string{"a=1", "b=2"}
		h.Set("Location", "/login?to=x")
		h.Set("X-Secret", "s3cr3t")
		h.Set("Content-Type", "text/html")
		h.Set("Content-Encoding", "identity")
		h.Set("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
		rw.WriteHeader(status)
		io.WriteString(rw, text)
	})
	w := policytest.New(t)
	r := w.Policy(Kind, fmt.Sprintf("{url: '%s'}", service))
	few := w.Policy(Kind, fmt.Sprintf("{url: '%s', answer_headers: [cache-control, x-none]}", service))
	both := w.Policies(policytest.Use{Kind: asks, YAML: "{}"}, policytest.Use{Kind: Kind, YAML: fmt.Sprintf("{url: '%s'}", service)})
	const bare, bearer, cookie = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cr3t\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nCookie: s3cr3t\r\n\r\n"
	f := func(r *policytest.Running, code int, content, request, word string, signals exchange.Signal, want string) {
		t.Helper()
		status, text = code, content
		x := r.Ask(request)
		if x.Fault != nil || x.Response.Status != code || !x.Response.Own {
			t.Fatalf("%d: %d, %v", code, x.Response.Status, x.Fault)
		}
		if got := body(t, x); got != content || x.Response.Length != int64(len(content)) {
			t.Errorf("%d: body %.20q of %d", code, got, x.Response.Length)
		}
		if got := lines(&x.Response.Header); got != want {
			t.Errorf("%d: the client gets\n%s\nwant\n%s", code, got, want)
		}
		if got := policytest.Verdict(x, "forward_auth"); got != word || x.Signals != signals {
			t.Errorf("%d: verdict %s, signals %d", code, got, x.Signals)
		}
		if x.Caller.Method != "" || x.Caller.Consumer != nil {
			t.Errorf("%d: caller %+v", code, x.Caller)
		}
	}
	const (
		page  = "Content-Type: text/html\n"
		rest  = "Location: /login?to=x\nSet-Cookie: a=1\nSet-Cookie: b=2\nWWW-Authenticate: Bearer realm=\"a\"\nWWW-Authenticate: Negotiate\n"
		coded = "Content-Encoding: identity\n"
		store = "Cache-Control: no-store"
	)
	f(r, 401, "<p>no", bearer, "unauthorized", exchange.AuthFailed, page+rest+coded+store)
	f(r, 401, "", bearer, "unauthorized", exchange.AuthFailed, rest+store)
	f(r, 401, "<p>no", bare, "unauthorized", 0, page+rest+coded+store)
	f(r, 401, "<p>no", cookie, "unauthorized", 0, page+rest+coded+store)
	f(r, 403, "<p>no", cookie, "forbidden", exchange.AuthFailed, page+rest+coded+store)
	f(r, 302, "<p>there", bearer, "redirected", 0, page+rest+coded+store)
	f(r, 404, "<p>no", bearer, "refused", exchange.AuthFailed, page+rest+coded+store)
	f(r, 429, "<p>no", bare, "refused", 0, page+rest+coded+store)
	f(few, 403, "", bearer, "forbidden", exchange.AuthFailed, store)
	f(both, 401, "", bearer, "unauthorized", exchange.AuthFailed, rest+"WWW-Authenticate: Asks\n"+store)
	f(both, 403, "", bearer, "forbidden", exchange.AuthFailed, rest+store)
	fits := strings.Repeat("x", maxBody)
	f(r, 401, fits, bearer, "unauthorized", exchange.AuthFailed, page+rest+coded+store)

	// A page beyond the limit is left out; the decision stands.
	status, text = 401, fits+"x"
	if x := r.Ask(bearer); x.Fault != nil || x.Response.Status != 401 || x.Response.Length != 0 || strings.Contains(lines(&x.Response.Header), "Content-") {
		t.Errorf("%v %d\n%s", x.Fault, x.Response.Length, lines(&x.Response.Header))
	}
	status, text = 200, fits+"x"
	if x := r.Ask(bearer); x.Fault != nil || x.Answered() {
		t.Errorf("%v", x.Fault)
	}
}

// Nothing that the service says can break the messages to the endpoint and to the client.
func TestInjection(t *testing.T) {
	var answer atomic.Pointer[string]
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 4096))
			io.WriteString(c, *answer.Load())
			c.Close()
		}
	})
	t.Cleanup(func() { listener.Close(); all.Wait() })
	r := policytest.New(t).Policy(Kind, fmt.Sprintf("{url: 'http://%s', response_headers: [X-User], answer_headers: [X-User, Location]}", listener.Addr()))
	for _, value := range []string{"a\x00b", "a\rX-Role: root", "a\x7f", "a\x01", "a\n X-Role: root", "a\r\n\tb"} {
		for _, status := range []string{"200 OK", "302 Found"} {
			text := "HTTP/1.1 " + status + "\r\nContent-Length: 0\r\nX-User: " + value + "\r\nLocation: " + value + "\r\nConnection: close\r\n\r\n"
			answer.Store(&text)
			x := r.Ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			for _, f := range append(slices.Clone(x.Request.Header.All()), x.Response.Header.All()...) {
				if !exchange.FitsField(f.Value) {
					t.Errorf("%s, %q: %s: %q is passed on", status, value, f.Name, f.Value)
				}
			}
			if x.Fault == nil && !x.Answered() && strings.Contains(value, "\x01") {
				t.Errorf("%q: the endpoint decides without the field", value)
			}
		}
	}
}

// The same for what the HTTP client would not let through to begin with.
func TestInjectionPastTheClient(t *testing.T) {
	p := &forwardAuth{granted: known([]string{"X-User"}), told: known([]string{"Location"}), subjectHeader: "X-Subject", service: &service{}}
	for _, value := range []string{"a\r\nX-Role: root", "a\nb", "a\x00", "\x7f", " a", "a\t"} {
		for _, name := range []string{"X-User", "X-Subject"} {
			x := &exchange.Exchange{}
			x.Begin(&exchange.Conn{}, 1)
			if c, bad := p.read(&fetch.Response{Status: 200, Header: fetch.Header{{Name: name, Value: value}}}); c != nil || bad != name {
				t.Errorf("%s: %q: %v, %q", name, value, c, bad)
			}
			if got := p.unusable(x, name); got == policy.Accepted || x.Fault == nil || x.Fault.Kind != fault.AuthUnavailable {
				t.Errorf("%s: finding %d, %v", name, got, x.Fault)
			}
			x.Begin(&exchange.Conn{}, 1)
			p.tell(x, &fetch.Response{Status: 302, Header: fetch.Header{{Name: "Location", Value: value}, {Name: "Content-Encoding", Value: value}}, Body: []byte("a")})
			if got := lines(&x.Response.Header); got != "Cache-Control: no-store" {
				t.Errorf("%q: the client gets\n%s", value, got)
			}
		}
	}
}

// Without a decision nobody comes in, and a service that is dead costs little.
func TestFailsClosed(t *testing.T) {
	release := make(chan struct{})
	var asked atomic.Int32
	var status atomic.Int32
	service := decides(t, func(rw http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if status.Load() == 0 {
			select {
			case <-release:
			case <-r.Context().Done():
			}
			return
		}
		rw.WriteHeader(int(status.Load()))
	})
	defer close(release)
	dead := httptest.NewServer(nil)
	dead.Close()
	const request = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\n\r\n"
	ask := func(t *testing.T, r *policytest.Running) *fault.Fault {
		t.Helper()
		x := r.Ask(request)
		if x.Fault == nil || x.Fault.Kind != fault.AuthUnavailable || x.Answered() || x.Caller.Method != "" || x.Signals != 0 {
			t.Fatalf("%v, answered %t", x.Fault, x.Answered())
		}
		return x.Fault
	}
	for _, code := range []int32{500, 502, 503, 504, 599, 304} {
		status.Store(code)
		r := policytest.New(t).Policy(Kind, fmt.Sprintf("{url: '%s'}", service))
		if f := ask(t, r); !strings.Contains(f.Error(), fmt.Sprint("status ", code)) {
			t.Errorf("%d: %v", code, f)
		}
	}
	t.Run("breaker", func(t *testing.T) {
		var log bytes.Buffer
		w := policytest.New(t)
		w.Log = slog.New(slog.NewTextHandler(&log, nil))
		status.Store(503)
		r := w.Policy(Kind, fmt.Sprintf("{url: '%s/a?key=s3cr3t'}", service))
		before := asked.Load()
		if all := w.State.Attention(); len(all) != 0 {
			t.Errorf("attention for %q", all)
		}
		for range 100 {
			ask(t, r)
		}
		if got := strings.Join(w.State.Attention(), "|"); !strings.HasPrefix(got, "the service "+service+"/a of policy forward_auth fails") || strings.Contains(got, "s3cr3t") {
			t.Errorf("attention for %q", got)
		}
		if n := asked.Load() - before; n != 5 {
			t.Errorf("the service was asked %d times, want 5", n)
		}
		if f := ask(t, r); f.RetryAfter < 1 {
			t.Errorf("Retry-After is %d", f.RetryAfter)
		}
		if text := log.String(); strings.Count(text, "\n") != 1 || strings.Contains(text, "s3cr3t") || !strings.Contains(text, "service="+service+"/a") || !strings.Contains(text, "has status 503") {
			t.Errorf("the log:\n%s", text)
		}
		// A new revision with the same options does not forget.
		r = w.Policy(Kind, fmt.Sprintf("{url: '%s/a?key=s3cr3t', response_headers: [X-User]}", service))
		before = asked.Load()
		ask(t, r)
		if asked.Load() != before {
			t.Error("a reload closed the breaker")
		}
		figures := map[string]float64{}
		w.State.Each(func(held policy.Reporter) {
			held.Report(func(f policy.Figure) {
				figures[fmt.Sprint(f.Name, f.Labels)] = f.Value
				if strings.Contains(fmt.Sprint(f), "s3cr3t") {
					t.Errorf("a secret in %v", f)
				}
			})
		})
		place := service + "/a"
		for name, want := range map[string]float64{
			"forward_auth_requests_total[[service " + place + "] [result failed]]": 5,
			"forward_auth_requests_total[[service " + place + "] [result shed]]":   97,
			"forward_auth_breaker_open[[service " + place + "]]":                   1,
			"forward_auth_active[[service " + place + "]]":                         0,
		} {
			if figures[name] != want {
				t.Errorf("%s is %v, want %v, in %v", name, figures[name], want, figures)
			}
		}
	})
	t.Run("a client that makes it stumble", func(t *testing.T) {
		status.Store(500)
		r := policytest.New(t).Policy(Kind, fmt.Sprintf("{url: '%s'}", service))
		for range 50 {
			ask(t, r)
		}
		status.Store(200)
		if x := r.Ask(request); x.Fault != nil {
			t.Errorf("all others are shut out: %v", x.Fault)
		}
	})
	t.Run("now and then", func(t *testing.T) {
		r := policytest.New(t).Policy(Kind, fmt.Sprintf("{url: '%s'}", service))
		for range 2 {
			status.Store(503)
			for range 4 {
				ask(t, r)
			}
			status.Store(200)
			if x := r.Ask(request); x.Fault != nil {
				t.Fatal(x.Fault)
			}
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		r := policytest.New(t).Policy(Kind, fmt.Sprintf("{url: '%s'}", dead.URL))
		if f := ask(t, r); !strings.Contains(f.Error(), "refused") {
			t.Error(f)
		}
	})
	t.Run("slow and full", func(t *testing.T) {
		status.Store(0)
		r := policytest.New(t).Policy(Kind, fmt.Sprintf("{url: '%s', timeout: 1m, concurrency: 2}", service))
		before := asked.Load()
		var under sync.WaitGroup
		for range 2 {
			own := *r // a connection has one request at a time
			own.Conn = &exchange.Conn{Peer: r.Conn.Peer}
			under.Go(func() { own.Ask(request) })
		}
		for asked.Load() != before+2 {
			time.Sleep(time.Millisecond)
		}
		if f := ask(t, r); !strings.Contains(f.Error(), "breaker_full") {
			t.Error(f)
		}
		release <- struct{}{}
		release <- struct{}{}
		under.Wait()
		status.Store(200)
		if x := r.Ask(request); x.Fault != nil {
			t.Error(x.Fault)
		}
	})
	t.Run("too slow", func(t *testing.T) {
		status.Store(0)
		r := policytest.New(t).Policy(Kind, fmt.Sprintf("{url: '%s', timeout: 20ms}", service))
		if f := ask(t, r); !strings.Contains(f.Error(), "no whole answer in time") || strings.Contains(f.Error(), "Bearer") {
			t.Error(f)
		}
	})
}

func TestConsumer(t *testing.T) {
	var id string
	service := decides(t, func(rw http.ResponseWriter, _ *http.Request) {
		if id != "" {
			rw.Header().Set("X-Who", id)
		}
	})
	w := policytest.New(t)
	w.Consumers = directory(t)
	r := w.Policy(Kind, fmt.Sprintf("{url: '%s', consumer_header: x-who}", service))
	const request = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\n\r\n"
	id = "acme"
	x := r.Ask(request)
	if x.Fault != nil || x.Caller.Consumer == nil || x.Caller.Consumer.ID != "acme" || !strings.Contains(header(x), "X-Consumer-Id: acme") {
		t.Errorf("%v %+v", x.Fault, x.Caller)
	}
	for _, id = range []string{"", "nobody", "Acme"} {
		x := r.Ask(request)
		if x.Fault == nil || x.Fault.Kind != fault.Forbidden || x.Signals&exchange.Forbidden == 0 || policytest.Verdict(x, "forward_auth") != "unknown_consumer" {
			t.Errorf("%q: %v", id, x.Fault)
		}
	}
}

// lacking is a method that found a good token without the scopes it asks for.
type lacking struct{}

func (lacking) Authenticate(*exchange.Exchange) policy.Finding { return policy.Short }
func (lacking) Challenge(x *exchange.Exchange, _ policy.Finding) {
	x.Challenges = append(x.Challenges, "insufficient_scope")
}
func (lacking) Hide(*exchange.Exchange, policy.Finding) {}

// Where another method found a good token that lacks scopes, the answer says so, unless the service accepts.
func TestScopesOfAnother(t *testing.T) {
	const named, unnamed = "{url: '%s', consumer_header: X-Id}", "{url: '%s'}"
	for _, test := range []struct {
		options      string
		status, want int
	}{{unnamed, 401, 403}, {unnamed, 302, 403}, {named, 204, 403}, {unnamed, 204, 0}} {
		service := decides(t, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(test.status) })
		kind := policy.Kind{Name: "lacking", Build: func(policy.Options) (any, error) {
			return lacking{}, nil
		}}
		x := policytest.New(t).Policies(policytest.Use{Kind: kind, YAML: "{}"}, policytest.Use{Kind: Kind, YAML: fmt.Sprintf(test.options, service)}).
			Ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		got, told := 0, strings.Contains(strings.Join(x.Challenges, " "), "insufficient_scope")
		if x.Fault != nil {
			got = x.Fault.Kind.Status
		}
		if got != test.want || told != (got == 403) || x.Answered() {
			t.Errorf("service %d: %d %q, want %d", test.status, got, x.Challenges, test.want)
		}
	}
}

func TestTwoAuthorizationFields(t *testing.T) {
	service := decides(t, func(http.ResponseWriter, *http.Request) {})
	const request = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n"
	x := policytest.New(t).Policy(Kind, fmt.Sprintf("{url: '%s'}", service)).Ask(request)
	if x.Fault == nil || x.Fault.Kind != fault.BadCredential {
		t.Errorf("%v", x.Fault)
	}
	x = policytest.New(t).Policy(Kind, fmt.Sprintf("{url: '%s', request_headers: [Cookie]}", service)).Ask(request)
	if x.Fault != nil {
		t.Errorf("the service does not see them: %v", x.Fault)
	}
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	f := func(yaml string, want ...string) {
		t.Helper()
		got := w.Refused(Kind, yaml)
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %q, want %q in it", yaml, got, part)
			}
		}
	}
	f("{}", "url")
	f("{url: 'http://auth.example.com/'}", "test.yaml:1:7", "https://", "plain: true")
	f("{url: 'ftp://auth.example.com/'}", "test.yaml:1:7", "https://")
	f("{url: 'https://u:s@auth.example.com/'}", "user name")
	f("{url: 'http://169.254.169.254/', plain: true}", "link-local")
	f("{url: 'https://a/', method: PUT}", "method")
	f("{url: 'https://a/', timeout: 2}", "timeout")
	f("{url: 'https://a/', concurrency: 0}", "concurrency")
	f("{url: 'https://a/', ca: absent.pem}", "test.yaml:1:25", "absent.pem")
	f("{url: 'http://127.0.0.1/', ca: absent.pem}", "no certificate to verify")
	f("{url: 'https://a/', request_headers: []}", "request_headers")
	f("{url: 'https://a/', request_headers: ['X A']}", "not a field name")
	f("{url: 'https://a/', request_headers: [\"X-A\\r\\nX-B\"]}", "")
	f("{url: 'https://a/', response_headers: ['X_A']}", "not a field name")
	f("{url: 'https://a/', response_headers: [X-A, x-a]}", "x-a is here twice")
	for _, name := range []string{"Host", "content-length", "Transfer-Encoding", "Connection", "X-Forwarded-For", "X-Forwarded-Method", "X-Consumer-Id", "X-Auth-Subject"} {
		f(fmt.Sprintf("{url: 'https://a/', request_headers: [%s]}", name), name+" has a meaning of its own")
		f(fmt.Sprintf("{url: 'https://a/', response_headers: [%s]}", name), name+" has a meaning of its own")
	}
	for _, name := range []string{"Content-Type", "Range", "X-Request-Id", "TE"} {
		f(fmt.Sprintf("{url: 'https://a/', response_headers: [%s]}", name), name+" has a meaning of its own")
	}
	for _, name := range []string{"Content-Length", "Connection", "Date", "Trailer"} {
		f(fmt.Sprintf("{url: 'https://a/', answer_headers: [%s]}", name), name+" has a meaning of its own")
	}
	f("{url: 'https://a/', consumer_header: Host}", "Host has a meaning")
	f("{url: 'https://a/', surprise: 1}", "surprise")
	w.Policy(Kind, "{url: 'http://10.0.0.5:9091/', plain: true, timeout: 500ms, method: same}")
	w.Policy(Kind, "{url: 'https://auth.example.com/verify'}")
}

// Building and binding ask nobody.
func TestStartsWhileTheServiceIsDown(t *testing.T) {
	asked := false
	service := decides(t, func(http.ResponseWriter, *http.Request) { asked = true })
	policytest.New(t).Policy(Kind, fmt.Sprintf("{url: '%s'}", service))
	if asked {
		t.Error("the service was asked")
	}
}

// A remembered consent is for what it was given for, to the byte, and no longer than both sides want.
func TestCache(t *testing.T) {
	var asked atomic.Int32
	var control, who atomic.Value
	control.Store("")
	who.Store("acme")
	code := http.StatusOK
	service := decides(t, func(rw http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if c := control.Load().(string); c != "" {
			rw.Header().Set("Cache-Control", c)
		}
		rw.Header().Set("X-Who", who.Load().(string))
		rw.WriteHeader(code)
	})
	w := policytest.New(t)
	w.Consumers = directory(t)
	yaml := fmt.Sprintf("{url: '%s', cache: 1h, consumer_header: X-Who, response_headers: [X-Who], subject_header: X-Who}", service)
	r := w.Policy(Kind, yaml)
	f := func(request string, more int32) *exchange.Exchange {
		t.Helper()
		before := asked.Load()
		x := r.Ask(strings.ReplaceAll(request, "|", "\r\n") + "\r\n\r\n")
		if n := asked.Load() - before; n != more {
			t.Errorf("%s: asked %d times, want %d", request, n, more)
		}
		return x
	}
	const request = "GET /a?b=c HTTP/1.1|Host: h|Authorization: Bearer a|Cookie: s=1"
	first := header(f(request, 1))
	who.Store("other")
	if x := f(request+"|X-Who: root", 0); header(x) != first || x.Caller.Consumer.ID != "acme" || x.Caller.Subject != "acme" || x.Caller.Method != "forward_auth" {
		t.Errorf("%+v, the endpoint gets\n%s\nwant\n%s", x.Caller, header(x), first)
	}
	who.Store("acme")
	for _, differs := range []string{
		"GET /a?b=d HTTP/1.1|Host: h|Authorization: Bearer a|Cookie: s=1", "GET /A?b=c HTTP/1.1|Host: h|Authorization: Bearer a|Cookie: s=1",
		"POST /a?b=c HTTP/1.1|Host: h|Authorization: Bearer a|Cookie: s=1", "GET /a?b=c HTTP/1.1|Host: h:1|Authorization: Bearer a|Cookie: s=1", "GET /a?b=c HTTP/1.1|Host: i|Authorization: Bearer a|Cookie: s=1",
		"GET /a?b=c HTTP/1.1|Host: h|Authorization: Bearer b|Cookie: s=1", "GET /a?b=c HTTP/1.1|Host: h|Authorization: Bearer a|Cookie: s=2",
		"GET /a?b=c HTTP/1.1|Host: h|Authorization: Bearer a", "GET /a?b=c HTTP/1.1|Host: h|Cookie: s=1", "GET /a?b=c HTTP/1.1|Host: h",
		"GET /a?b=c HTTP/1.1|Host: h|Authorization: Bearer a|Cookie: s=1|Cookie: s=1", "GET /a?b=c HTTP/1.1|Host: h|Cookie: Bearer a|Authorization: s=1",
	} {
		f(differs, 1)
		f(differs, 0)
	}
	r.Scheme = "https"
	f(request, 1)
	r.Scheme = "http"
	r.Conn.Peer = netip.MustParseAddrPort("192.0.2.99:1")
	f(request, 1)
	f(request, 0)

	// A reload keeps it, and asks the new revision who is a consumer.
	r = w.Policy(Kind, yaml)
	r.Conn.Peer = netip.MustParseAddrPort("192.0.2.99:1")
	f(request, 0)
	w.Consumers = consumer.Empty()
	r = w.Policy(Kind, yaml)
	if x := f("GET /a?b=d HTTP/1.1|Host: h|Authorization: Bearer a|Cookie: s=1", 0); x.Fault == nil || x.Fault.Kind != fault.Forbidden || x.Caller.Consumer != nil {
		t.Errorf("a consumer who is gone comes in: %v", x.Fault)
	}
	w.Consumers = directory(t)
	r = w.Policy(Kind, yaml)

	// What the service does not want remembered is not, nor is a refusal.
	for _, c := range []string{"no-store", "private, No-Cache", "max-age=0"} {
		control.Store(c)
		f("GET /once HTTP/1.1|Host: h", 1)
		f("GET /once HTTP/1.1|Host: h", 1)
	}
	control.Store("")
	code = 403
	f("GET /refused HTTP/1.1|Host: h", 1)
	f("GET /refused HTTP/1.1|Host: h", 1)
	code = 200
	f("GET /refused HTTP/1.1|Host: h", 1)
	f("GET /refused HTTP/1.1|Host: h", 0)
	who.Store("nobody")
	f("GET /stranger HTTP/1.1|Host: h", 1)
	who.Store("acme")
	f("GET /stranger HTTP/1.1|Host: h", 1)
}

// A consent to a sub-request of one method is none to another.
func TestCacheOfAnotherMethod(t *testing.T) {
	service := decides(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			rw.WriteHeader(403)
		}
	})
	for _, uses := range [][2]string{{"GET", "POST"}, {"HEAD", "POST"}} {
		w := policytest.New(t)
		build := func(method string) func(o policy.Options) (any, error) {
			return func(o policy.Options) (any, error) {
				built, err := build(o)
				if err == nil {
					built.(*settings).options.Method = method
				}
				return built, err
			}
		}
		// Both in one revision, or the memory of the first would be gone.
		first := w.Policies(policytest.Use{Kind: policy.Kind{Name: name, Build: build(uses[0])}, YAML: fmt.Sprintf("{url: '%s', cache: 1h}", service)},
			policytest.Use{Kind: policy.Kind{Name: name, Build: build(uses[1])}, YAML: fmt.Sprintf("{url: '%s', cache: 1h}", service)},
			policytest.Use{Kind: policy.Kind{Name: "authenticate", Build: func(policy.Options) (any, error) { return &policy.Terms{All: true}, nil }}, YAML: "{}"})
		for range 2 {
			x := first.Ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if !x.Answered() || x.Response.Status != 403 {
				t.Errorf("%q: the second was not asked", uses)
			}
		}
	}
}

func TestCacheLifetime(t *testing.T) {
	f := func(control string, want time.Duration) {
		t.Helper()
		if got := lifetime(time.Minute, fetch.Header{{Name: "cache-control", Value: control}}); got != want {
			t.Errorf("%q: %s, want %s", control, got, want)
		}
	}
	f("", time.Minute)
	f("private", time.Minute)
	f("max-age=5", 5*time.Second)
	f(`private, Max-Age="5"`, 5*time.Second)
	f("max-age=99999", time.Minute)
	f("max-age=99999999999999999999", time.Minute)
	f("max-age=x", 0)
	f("max-age=9999999999x", 0)
	f("max-age=-1", 0)
	f("max-age", 0)
	f("max-age=5, no-store", 0)

	m := newMemory(1<<20, time.Minute, "")
	defer m.Stop()
	c, key := &consent{}, digest{1}
	m.keep(key, c, 100, nil)
	if m.find(key, 100+int64(time.Minute)-1) != c || m.find(key, 100+int64(time.Minute)) != nil || m.find(digest{2}, 100) != nil {
		t.Error("a consent is good for another time or another sub-request")
	}
}

// The memory is bounded in bytes, whatever clients make up.
func TestCacheIsBounded(t *testing.T) {
	const size = 64 << 10
	m := newMemory(size, time.Hour, "")
	defer m.Stop()
	for n := range 5000 {
		m.keep(digest{byte(n), byte(n >> 8)}, &consent{subject: strings.Repeat("s", 100)}, 1, nil)
	}
	m.cache.CleanUp()
	if got := m.cache.WeightedSize(); got > size || got == 0 {
		t.Errorf("%d bytes, at most %d", got, size)
	}
}

// A real nginx decides.
func TestNginx(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("no nginx here")
	}
	dir := t.TempDir()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := socket.Addr().String()
	socket.Close()
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, []byte(`daemon off; master_process off; pid nginx.pid; error_log stderr error;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
	server {
		listen `+address+`;
		location = /verify {
			add_header X-User $http_x_forwarded_method always;
			add_header WWW-Authenticate 'Bearer realm="nginx"' always;
			if ($http_authorization = "Bearer good") { return 204; }
			if ($http_cookie = "") { return 302 https://login.example.com/; }
			return 401 "no\n";
		}
	}
}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(nginx, "-p", dir, "-c", config, "-e", "stderr")
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { c.Process.Kill(); c.Wait() }()
	for tries := 0; ; tries++ {
		if connection, err := net.Dial("tcp", address); err == nil {
			connection.Close()
			break
		} else if tries == 500 {
			t.Fatalf("nginx does not listen: %s", &said)
		}
		time.Sleep(10 * time.Millisecond)
	}
	r := policytest.New(t).Policy(Kind, fmt.Sprintf("{url: 'http://%s/verify', method: same, response_headers: [X-User]}", address))
	r.Conn.Peer = netip.MustParseAddrPort("[2001:db8::1]:1")
	x := r.Ask("POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer good\r\nContent-Length: 1\r\n\r\na")
	if user, _ := x.Request.Header.Header("X-User"); x.Fault != nil || x.Answered() || user != "POST" {
		t.Errorf("%v %q", x.Fault, user)
	}
	x = r.Ask("GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nAuthorization: Bearer bad\r\n\r\n")
	if got := lines(&x.Response.Header); x.Response.Status != 401 || body(t, x) != "no\n" || !strings.Contains(got, `WWW-Authenticate: Bearer realm="nginx"`) || !strings.Contains(got, "Cache-Control: no-store") {
		t.Errorf("%d %v\n%s", x.Response.Status, x.Fault, got)
	}
	x = r.Ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if got, _ := x.Response.Header.Get(exchange.Location); x.Response.Status != 302 || got != "https://login.example.com/" {
		t.Errorf("%d %v %s", x.Response.Status, x.Fault, got)
	}
}

func BenchmarkAccepted(b *testing.B) {
	service := decides(b, func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("X-User", "alice") })
	r := policytest.New(b).Policy(Kind, fmt.Sprintf("{url: '%s', response_headers: [X-User]}", service))
	b.ReportAllocs()
	for b.Loop() {
		if x := r.Ask("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\n\r\n"); x.Fault != nil {
			b.Fatal(x.Fault)
		}
	}
}

func directory(t *testing.T) *consumer.Directory {
	t.Helper()
	b := consumer.NewBuilder()
	if err := b.Consumer(consumer.Consumer{ID: "acme", Name: "Acme"}); err != nil {
		t.Fatal(err)
	}
	return b.Build()
}

// remembered gives what asks once more for what is remembered.
func remembered(t testing.TB) func() {
	service := decides(t, func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("X-User", "alice") })
	r := policytest.New(t).Policy(Kind, fmt.Sprintf("{url: '%s', response_headers: [X-User], cache: 1h}", service))
	x := r.Ask("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\n\r\n")
	if x.Fault != nil {
		t.Fatal(x.Fault)
	}
	return func() {
		x.Request.Header.DelHeader("X-User")
		x.Request.Header.Del(exchange.XAuthMethod)
		x.Verdicts = x.Verdicts[:0]
		if r.Chain.Request(x); x.Fault != nil || x.Caller.Method == "" {
			t.Fatal(x.Fault)
		}
	}
}

func TestRememberedAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	if n := testing.AllocsPerRun(1000, remembered(t)); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRemembered(b *testing.B) {
	ask := remembered(b)
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
}
