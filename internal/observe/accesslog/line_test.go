package accesslog

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

const second = int64(time.Second)

// began is a wall-clock time far from any round number.
var began = time.Date(2026, 11, 21, 17, 24, 58, 0, time.UTC)

// wallAt is a wall clock that stood at began when the monotonic one showed one second.
func wallAt(now int64) time.Time { return began.Add(time.Duration(now - second)) }

// ordinary makes an exchange like most are.
func ordinary() *exchange.Exchange {
	x := &exchange.Exchange{}
	x.Begin(&exchange.Conn{Peer: netip.MustParseAddrPort("203.0.113.77:5123"), Listener: ":443"}, second)
	x.ID = "0123456789abcdef0123456789abcdef"
	x.Request.Method, x.Request.Host, x.Request.Path, x.Request.Query = "GET", "api.example.com", "/orders/1", "page=2&token=secret"
	x.Request.Major, x.Request.Minor = 1, 1
	x.Request.Header.Append(exchange.UserAgent, "User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0")
	x.Request.Header.Append(exchange.Authorization, "Authorization", "Bearer sesame")
	x.Request.Header.Append(exchange.Cookie, "Cookie", "session=sesame")
	x.Request.Header.Append(exchange.Referer, "Referer", "https://example.com/search?q=sesame")
	x.Response.Status = 200
	x.Route = &exchange.Route{Name: "orders", Slot: 1}
	x.Upstream = exchange.Upstream{Name: "orders", Endpoint: "10.0.0.5:8080", Status: 200, Tries: 1, Reused: true}
	ms := int64(time.Millisecond)
	x.Times = exchange.Times{
		Start: second, Decoded: second + 20_000, Forward: second + 30_000, Sent: second + 40_000,
		FirstByte: second + 5*ms, Received: second + 6*ms, Done: second + 6*ms + 50_000,
	}
	x.Bytes = exchange.Bytes{In: 120, Out: 480, UpstreamOut: 150, UpstreamIn: 430}
	return x
}

// short makes an ordinary exchange without a query and a user agent.
func short() *exchange.Exchange {
	x := ordinary()
	x.Request.Query = ""
	x.Request.Header.Reset()
	return x
}

// eventful makes an exchange whose line has every field there is.
func eventful() *exchange.Exchange {
	x := ordinary()
	x.Conn.Listener, x.Request.Minor, x.Upstream.Name = "public", 0, "carts"
	x.Conn.TLS = &exchange.TLS{Version: tls.VersionTLS13, Resumed: true, Client: &x509.Certificate{Raw: []byte("anna@example.com")}}
	x.Response.Header.Append(exchange.ContentType, "Content-Type", "application/grpc+proto")
	x.Response.Trailer.Add("grpc-status", "14")
	x.Upstream.Reused, x.Upstream.Opened, x.Upstream.Why, x.Upstream.Tries = false, "none_idle", "budget", 2
	x.Response.Status, x.Upstream.Status = 200, 200 // the gateway ended it with a status of gRPC
	x.Fail(fault.At(fault.UpstreamReset, fault.MaybeProcessed, errors.New("read tcp 10.0.0.1:4000->10.0.0.5:8080: connection reset by peer")))
	x.End = exchange.UpstreamBroke
	x.Caller = exchange.Caller{Consumer: &consumer.Consumer{ID: "acme", Name: "Anna"}, Method: "jwt", Credential: "k1", Subject: "anna@example.com",
		Issuer: "https://id.example.com", Client: "web", ScopeList: "orders:read", Claims: map[string]any{"email": "anna@example.com"}}
	x.Judge("jwt", "ok")
	x.Judge("rate_limit", "counted")
	x.Cached = exchange.Cached{Outcome: exchange.CacheStale, Why: "too_old", Age: 3599, Collapsed: true}
	return x
}

func lineOf(x *exchange.Exchange, s Settings) string {
	at := stamp{wall: wallAt}
	return string(appendLine(nil, x, &s, &at, x.Times.Done, operatorCause(x, s.Client)))
}

func TestLine(t *testing.T) {
	f := func(x *exchange.Exchange, s Settings, want string) {
		t.Helper()
		got := lineOf(x, s)
		if got != want+"\n" {
			t.Errorf("got  %swant %s", got, want)
		}
		if !json.Valid([]byte(got)) {
			t.Error("this is not JSON")
		}
	}
	f(ordinary(), Settings{}, `{"time":"2026-11-21T17:24:58.006Z","id":"0123456789abcdef0123456789abcdef","client":"203.0.113.0","method":"GET","host":"api.example.com","path":"/orders/1","query":"page=…&token=…","status":200,"route":"orders","endpoint":"10.0.0.5:8080","bytes_in":120,"bytes_out":480,"total_us":6050,"upstream_us":5960,"own_us":90,"user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"}`)
	f(eventful(), Settings{Client: ClientFull, Query: QueryFull, Referer: true, Credential: true}, `{"time":"2026-11-21T17:24:58.006Z","id":"0123456789abcdef0123456789abcdef","client":"203.0.113.77","listener":"public","method":"GET","host":"api.example.com","path":"/orders/1","query":"page=2&token=secret","proto":"HTTP/1.0","tls":"1.3","resumed":true,"client_cert":"f7d54c22dda5b178","consumer":"acme","auth":"jwt","credential":"k1","status":200,"grpc_status":14,"route":"orders","upstream":"carts","endpoint":"10.0.0.5:8080","upstream_status":200,"tries":2,"opened":"none_idle","why":"budget","cache":"stale","cache_age":3599,"cache_why":"too_old","collapsed":true,"bytes_in":120,"bytes_out":480,"upstream_bytes_out":150,"upstream_bytes_in":430,"total_us":6050,"upstream_us":5970,"own_us":80,"fault":"upstream_reset","side":"upstream","cause":"read tcp 10.0.0.1:4000->10.0.0.5:8080: connection reset by peer","end":"upstream_broke","verdicts":["jwt:ok","rate_limit:counted"],"user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0","referer":"https://example.com/search?q=sesame"}`)

	// A request that was refused before anything was known of it.
	x := &exchange.Exchange{}
	x.Begin(&exchange.Conn{Listener: ":80"}, second)
	x.ID = "1"
	x.Fail(fault.New(fault.Malformed, nil))
	x.Response.Status = 400
	x.Times.Done = second + 1500
	f(x, Settings{}, `{"time":"2026-11-21T17:24:58.000Z","id":"1","status":400,"bytes_in":0,"bytes_out":0,"total_us":1,"own_us":1,"fault":"malformed","side":"client"}`)
}

// TestOrdinary holds that a line leaves out what is as usual, what makes each of these fields appear, and how short that keeps
// the line of an ordinary GET.
func TestOrdinary(t *testing.T) {
	f := func(change func(*exchange.Exchange), want string) {
		t.Helper()
		usual, x := ordinary(), ordinary()
		change(x)
		has := map[string]bool{}
		for part := range strings.SplitSeq(strings.Trim(lineOf(usual, Settings{}), "{}\n"), ",") {
			has[part] = true
		}
		var more []string
		for part := range strings.SplitSeq(strings.Trim(lineOf(x, Settings{}), "{}\n"), ",") {
			if !has[part] {
				more = append(more, part)
			}
		}
		if got := strings.Join(more, ","); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(func(x *exchange.Exchange) {}, "")
	f(func(x *exchange.Exchange) { x.Caller = exchange.Caller{Subject: "anna"} }, "")
	f(func(x *exchange.Exchange) { x.Caller = eventful().Caller }, `"consumer":"acme","auth":"jwt"`)
	f(func(x *exchange.Exchange) { x.Caller.Consumer = &consumer.Consumer{ID: "visitors"} }, `"consumer":"visitors"`)
	f(func(x *exchange.Exchange) { x.Caller.Method = "jwt"; x.Judge("jwt", "accepted") }, `"auth":"jwt"`)
	f(func(x *exchange.Exchange) {
		x.Caller.Method = "jwt"
		x.Judge("api_key", "accepted")
		x.Judge("jwt", "accepted")
		x.Judge("authorize", "dry_run_scope")
	}, `"auth":"jwt","verdicts":["api_key:accepted","authorize:dry_run_scope"]`)
	f(func(x *exchange.Exchange) { x.Judge("jwt", "expired") }, `"verdicts":["jwt:expired"]`)
	f(func(x *exchange.Exchange) { x.Conn.Listener = "public" }, `"listener":"public"`)
	f(func(x *exchange.Exchange) { x.Conn.Listener = "unix:/run/a" }, "")
	f(func(x *exchange.Exchange) { x.Request.Minor = 0 }, `"proto":"HTTP/1.0"`)
	f(func(x *exchange.Exchange) { x.Request.Major = 2 }, `"proto":"HTTP/2"`)
	f(func(x *exchange.Exchange) { x.Conn.TLS = &exchange.TLS{Version: tls.VersionTLS12} }, `"tls":"1.2"`)
	f(func(x *exchange.Exchange) { x.Conn.TLS = &exchange.TLS{Version: tls.VersionTLS13, Resumed: true} }, `"tls":"1.3","resumed":true`)
	f(func(x *exchange.Exchange) { x.Upstream.Name = "carts" }, `"upstream":"carts"`)
	f(func(x *exchange.Exchange) { x.Upstream.Endpoint, x.Upstream.Tries = "", 0 }, `"upstream":"orders","tries":0,"upstream_us":5970,"own_us":80`)
	f(func(x *exchange.Exchange) { x.Upstream.Status = 206 }, `"upstream_status":206`)
	f(func(x *exchange.Exchange) { x.Fail(fault.New(fault.ClientGone, nil)) }, `"upstream_status":200,"fault":"client_gone","side":"client"`)
	f(func(x *exchange.Exchange) { x.Upstream.Tries = 2 }, `"tries":2,"upstream_bytes_out":150,"upstream_bytes_in":430,"upstream_us":5970,"own_us":80`)
	f(func(x *exchange.Exchange) { x.Upstream.Reused, x.Upstream.Opened = false, "none_idle" }, `"opened":"none_idle","upstream_us":5970,"own_us":80`)
	f(func(x *exchange.Exchange) { x.Bytes.UpstreamIn = 480 + 1023 }, "")
	f(func(x *exchange.Exchange) { x.Bytes.UpstreamIn = 480 + 1024 }, `"upstream_bytes_out":150,"upstream_bytes_in":1504`)
	f(func(x *exchange.Exchange) { x.Bytes.In = 150 + 1024 }, `"bytes_in":1174,"upstream_bytes_out":150,"upstream_bytes_in":430`)
	f(func(x *exchange.Exchange) { x.Cached = exchange.Cached{Outcome: exchange.CacheMiss, Stored: true} }, `"cache":"miss"`)
	f(func(x *exchange.Exchange) { x.Cached = exchange.Cached{Outcome: exchange.CacheMiss, Why: "no_store"} }, `"cache":"miss","cache_why":"no_store"`)
	f(func(x *exchange.Exchange) { x.Cached = exchange.Cached{Outcome: exchange.CacheMiss, Collapsed: true} }, `"cache":"miss","collapsed":true`)
	f(func(x *exchange.Exchange) {
		x.Cached, x.Upstream, x.Times.Forward = exchange.Cached{Outcome: exchange.CacheHit, Age: 12}, exchange.Upstream{}, 0
	}, `"cache":"hit","cache_age":12,"own_us":6050`)
	f(func(x *exchange.Exchange) { x.End = exchange.Tunnelled }, `"upstream_bytes_out":150,"upstream_bytes_in":430,"end":"tunnel_closed"`)

	if n := len(lineOf(short(), Settings{})); n > 300 {
		t.Errorf("%d bytes", n)
	}
}

// TestGRPCStatus holds where the status of gRPC is looked for, and that an endpoint cannot put anything else there.
func TestGRPCStatus(t *testing.T) {
	f := func(kind, head, trailer string, want fault.Code, found bool) {
		t.Helper()
		x := ordinary()
		if kind != "" {
			x.Response.Header.Append(exchange.ContentType, "Content-Type", kind)
		}
		if head != "" {
			x.Response.Header.Add("Grpc-Status", head)
		}
		if trailer != "" {
			x.Response.Trailer.Add("grpc-status", trailer)
		}
		if got, ok := x.Response.GRPC(); ok != found || ok && got != want {
			t.Errorf("%q, %q, %q: %d, %v", kind, head, trailer, got, ok)
		}
		line := lineOf(x, Settings{})
		if told := strings.Contains(line, fmt.Sprintf(`"status":200,"grpc_status":%d,`, want)); told != found || strings.Contains(line, "grpc_status") != found {
			t.Errorf("%q, %q, %q: %s", kind, head, trailer, line)
		}
	}
	f("application/grpc", "", "0", 0, true)
	f("application/grpc+proto", "", "14", 14, true)
	f("application/grpc", "5", "", 5, true)
	f("application/grpc", "5", "7", 5, true)
	f("application/grpc", "", "", 0, false)
	f("application/grpc", "", "999", fault.Unknown, true)
	f("application/grpc", "", "-1", 0, false)
	f("application/grpc", "", `1"`, 0, false)
	f("application/json", "", "14", 0, false)
	f("", "14", "", 0, false)
}

// TestLinePrivate holds what must not be in a line unless it was asked for.
func TestLinePrivate(t *testing.T) {
	x := eventful()
	x.Fault = fault.New(fault.ClientGone, fmt.Errorf("write answer: %w", &net.OpError{
		Op: "write", Net: "tcp", Source: net.TCPAddrFromAddrPort(netip.MustParseAddrPort("10.0.0.1:443")),
		Addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.77:5123")), Err: errors.New("broken pipe"),
	}))
	line := lineOf(x, Settings{Referer: true})
	for _, secret := range []string{"sesame", "Bearer", "session", "secret", "203.0.113.77", "anna"} {
		if strings.Contains(line, secret) {
			t.Errorf("the line tells %q: %s", secret, line)
		}
	}
	if strings.Contains(line, "credential") {
		t.Errorf("nobody asked for the credential: %s", line)
	}
	line = lineOf(x, Settings{Client: ClientFull, Query: QueryFull, Referer: true, Credential: true})
	for _, personal := range []string{"Anna", "anna", "id.example.com", `"web"`, "orders:read"} {
		if strings.Contains(line, personal) {
			t.Errorf("whatever the settings, the line must not tell %q: %s", personal, line)
		}
	}
	line = lineOf(x, Settings{Referer: true})
	if !strings.Contains(line, "->client:5123: broken pipe") {
		t.Errorf("the cause is gone altogether: %s", line)
	}
	if line := lineOf(x, Settings{Client: ClientNone, Query: QueryNone}); strings.Contains(line, "203.0.113") || strings.Contains(line, "page") {
		t.Errorf("the line tells of the client or the query: %s", line)
	}
	if line := lineOf(x, Settings{Client: ClientFull}); !strings.Contains(line, "->203.0.113.77:5123") {
		t.Errorf("with full detail the cause should name the client: %s", line)
	}
}

// TestLineBounded fills every field beyond its room with what takes the most when escaped.
func TestLineBounded(t *testing.T) {
	for _, unit := range []string{"x", "\n", "\xff", "ü", "\U000E0041", `"`} {
		long := strings.Repeat(unit, 4096)
		x := eventful()
		x.ID, x.Conn.Listener, x.Request.Method, x.Request.Host, x.Request.Path, x.Request.Query = long, long, long, long, long, long
		x.Client = netip.MustParseAddr("2001:db8:1111:2222:3333:4444:5555:6666")
		x.Route = &exchange.Route{Name: long}
		x.Upstream = exchange.Upstream{Name: long, Endpoint: long, Opened: long, Why: long, Tries: 1 << 60, Status: 1 << 60}
		x.Fault.Cause = errors.New(long)
		x.Fault.Kind = &fault.Kind{Word: long}
		x.Caller = exchange.Caller{Consumer: &consumer.Consumer{ID: long}, Method: long, Credential: long}
		x.Verdicts = x.Verdicts[:0]
		for range 20 {
			x.Judge(long, long)
		}
		x.Request.Header.Reset()
		x.Request.Header.Append(exchange.UserAgent, "User-Agent", long)
		x.Request.Header.Append(exchange.Referer, "Referer", long)
		huge := int64(1<<63 - 1)
		x.Response.Status = 1 << 60
		x.Bytes = exchange.Bytes{In: huge, Out: huge, UpstreamIn: huge, UpstreamOut: huge}
		x.Times.Done = 1 << 61
		for _, s := range []Settings{{Client: ClientFull, Query: QueryFull, Referer: true, Credential: true}, {Query: QueryNames, QueryKeep: []string{"a"}}} {
			line := lineOf(x, s)
			if len(line) > maxLine {
				t.Errorf("a line of %d bytes; maxLine is %d", len(line), maxLine)
			}
			checkLine(t, line)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("GET", "example.com", "/a\r\nb", "q=\"\\&x", "curl\x00", "id\x1b[2J", "cause\u2028", uint8(0))
	f.Add("\xff", "ü", "\u202e", "=&==&;", strings.Repeat("\n", 300), "", "", uint8(0xff))
	f.Fuzz(func(t *testing.T, method, host, path, query, agent, id, cause string, bits uint8) {
		x := eventful()
		x.ID, x.Request.Method, x.Request.Host, x.Request.Path, x.Request.Query = id, method, host, path, query
		x.Request.Header.Reset()
		x.Request.Header.Append(exchange.UserAgent, "User-Agent", agent)
		x.Request.Header.Append(exchange.Referer, "Referer", agent)
		x.Fault.Cause = errors.New(cause)
		x.Judge(host, path)
		s := Settings{Client: Client(bits % 3), Query: Query(bits / 3 % 3), Referer: bits&64 != 0}
		if bits&128 != 0 {
			s.QueryKeep = []string{host}
		}
		line := lineOf(x, s)
		if len(line) > maxLine {
			t.Errorf("%d bytes", len(line))
		}
		checkLine(t, line)
	})
}

// checkLine holds what every line must be: one line, one JSON object, nothing a terminal obeys.
func checkLine(t *testing.T, line string) {
	t.Helper()
	body, ok := strings.CutSuffix(line, "\n")
	if !ok {
		t.Fatalf("no line feed at the end: %q", line)
	}
	for _, r := range body {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			t.Fatalf("rune %U in %q", r, line)
		}
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(body), &fields); err != nil {
		t.Fatalf("%v: %q", err, line)
	}
	for name := range fields {
		if !allFields[name] {
			t.Fatalf("field %q in %q: someone's value became a name", name, line)
		}
	}
}

// allFields is every field an exchange's line can have.
var allFields = func() map[string]bool {
	var fields map[string]any
	line := lineOf(eventful(), Settings{Referer: true, Credential: true})
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		panic(err)
	}
	all := map[string]bool{}
	for name := range fields {
		all[name] = true
	}
	return all
}()

// TestDocumented compares docs/log.md with what is written.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/log.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllSubmatch(doc, -1) {
		told[string(m[1])] = true
	}
	for _, name := range []string{"lost", "lost_since_start", "lost_that_matter"} {
		if !told[name] {
			t.Errorf("docs/log.md does not describe %q of the line about losses", name)
		}
		delete(told, name)
	}
	for name := range allFields {
		if !told[name] {
			t.Errorf("docs/log.md does not describe %q", name)
		}
		delete(told, name)
	}
	for name := range told {
		t.Errorf("docs/log.md describes %q, which no line has", name)
	}
}

func TestMatters(t *testing.T) {
	f := func(want bool, change func(*exchange.Exchange)) {
		t.Helper()
		x := ordinary()
		change(x)
		if got := matters(x); got != want {
			t.Errorf("got %v", got)
		}
	}
	f(false, func(x *exchange.Exchange) {})
	f(false, func(x *exchange.Exchange) { x.Response.Status = 404 })
	f(false, func(x *exchange.Exchange) { x.Response.Status = 404; x.Fail(fault.New(fault.NoRoute, nil)) })
	f(false, func(x *exchange.Exchange) { x.End = exchange.Tunnelled })
	f(false, func(x *exchange.Exchange) { x.End = exchange.ClientGone })
	grpc := func(x *exchange.Exchange, status string) {
		x.Response.Header.Append(exchange.ContentType, "Content-Type", "application/grpc")
		x.Response.Trailer.Add("grpc-status", status)
	}
	f(false, func(x *exchange.Exchange) { grpc(x, "0") })
	f(false, func(x *exchange.Exchange) { grpc(x, "5") })
	f(false, func(x *exchange.Exchange) { grpc(x, "12"); x.Fail(fault.New(fault.NoRoute, nil)) })
	f(true, func(x *exchange.Exchange) { grpc(x, "8") })
	f(true, func(x *exchange.Exchange) { grpc(x, "14") })
	f(true, func(x *exchange.Exchange) { grpc(x, "16") })
	f(true, func(x *exchange.Exchange) { x.Response.Status = 500 })
	f(true, func(x *exchange.Exchange) { x.Response.Status = 401 })
	f(true, func(x *exchange.Exchange) { x.Response.Status = 403 })
	f(true, func(x *exchange.Exchange) { x.Response.Status = 429 })
	f(true, func(x *exchange.Exchange) { x.Fail(fault.New(fault.Malformed, nil)) })
	f(true, func(x *exchange.Exchange) { x.End = exchange.UpstreamBroke })
	f(true, func(x *exchange.Exchange) { x.End = exchange.Shed })
	f(true, func(x *exchange.Exchange) { x.End = exchange.Aborted })
}

func TestStamp(t *testing.T) {
	at := stamp{wall: wallAt}
	f := func(now int64, want string) {
		t.Helper()
		if got := string(at.append(nil, now)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	ms := int64(time.Millisecond)
	f(second, "2026-11-21T17:24:58.000Z")
	f(second+999*ms, "2026-11-21T17:24:58.999Z")
	f(second+1000*ms, "2026-11-21T17:24:59.000Z")
	f(second+999*ms, "2026-11-21T17:24:58.999Z") // an exchange that ended before the last one logged
	f(second+2500*ms, "2026-11-21T17:25:00.500Z")
}
