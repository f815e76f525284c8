// Package exchange holds the traveller: one request and its response on their way through the eleven steps, with everything the
// steps found out about them. Steps stamp facts here; step 11 reads them once for the log, the metrics and the trace.
//
// Lifetime. Strings and byte slices reached through an Exchange are views of buffers that live until step 11 is over. Whoever
// keeps one longer clones it. An Exchange itself is reused for the next request of its connection and must never be kept.
//
// It belongs to no step and all use it. It refuses to decide anything, to do I/O, and to know the packages of the steps.
package exchange

import (
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/netip"
	"unsafe"

	"straum.dev/straum/internal/edge/fault"
)

// Body is the content of a message, handed on in runs so that it never has to be in memory as a whole.
type Body interface {
	// Next returns the next run of content, at least one byte long and valid until the next call. It waits for the network when
	// it has to. After the last run it returns io.EOF; only then are the trailers of the message known. Any other error is a
	// *fault.Fault.
	Next() ([]byte, error)
	// Buffered says whether Next can answer without waiting. Writers flush before they wait.
	Buffered() bool
}

// Unknown is the length of a body whose end only shows when it comes.
const Unknown = -1

// Request is what the client asks for. Framing and connection fields (Connection, Keep-Alive, Transfer-Encoding, TE, Upgrade and
// those that Connection lists) are facts here and no longer in Header.
type Request struct {
	Method string
	Scheme string // "http" or "https": how the client reached us
	Host   string // lower case, without port or trailing dot; an IPv6 literal keeps its brackets
	Port   string // as the client wrote it, often empty
	Target string // as received; it may hold credentials that were cut out of Query, so it is never logged
	Path   string // as received until step 3, canonical after it
	Query  string // as received, without the question mark
	Minor  uint8  // of the client's HTTP/1 version; HTTP/2 counts as 1
	Major  uint8
	Header Fields
	// Length is the body's length in bytes, 0 when there is no body, Unknown when it is chunked.
	Length  int64
	Body    Body   // nil when there is none
	Trailer Fields // complete after Body has ended
	// Upgrade is the protocol asked for with Connection: upgrade, empty when none.
	Upgrade string
	// Continue says the client waits for 100 (Continue) before it sends the body.
	Continue bool
	// Streaming says the body was still on its way to the endpoint when the endpoint answered.
	Streaming bool
	// TakesTrailers says the client announced TE: trailers.
	TakesTrailers bool

	reserved [4]*Names // see Reserve; nil at the end
	closed   bool
	said     Fields // see Change; counts when changed is set
	changed  bool
}

// Response is what the client gets.
type Response struct {
	Status int
	Header Fields
	// Length is the body's length in bytes, or Unknown. For HEAD and 304 it is what the length would have been.
	Length  int64
	Body    Body // nil when there is none
	Trailer Fields
	// Own says that the gateway made this response; it did not come from an endpoint.
	Own bool
}

// Conn is what is known of the client's connection. It is shared by all exchanges on it and does not change between them.
type Conn struct {
	ID       uint64
	Peer     netip.AddrPort // who is connected, or whom a trusted PROXY header named; invalid on a unix socket
	Local    netip.AddrPort
	Listener string
	// Own says that it is a visit of the gateway to itself, to see whether the listener is served. What comes on it is answered and not told.
	Own bool
	// Secure says that the client speaks TLS with us.
	Secure bool
	// TLS is what the handshake with us settled, nil when there was none.
	TLS *TLS
	// Shard is a small number that connections accepted by the same socket share; counters split by it do not contend.
	Shard int
	// Requests counts the exchanges begun on this connection, this one included.
	Requests int
}

// TLS is what a handshake settled. It is immutable.
type TLS struct {
	Version  uint16 // as in crypto/tls, e.g. tls.VersionTLS13
	Resumed  bool
	Name     string // the host asked for (SNI), in lower case; empty when none was
	Protocol string // of ALPN; empty when none was agreed on
	// Client is the client's certificate, which was verified; nil when it showed none.
	Client *x509.Certificate
}

// Certificate is the client's certificate in DER, nil when it showed none.
func (c *Conn) Certificate() []byte {
	if c.TLS == nil || c.TLS.Client == nil {
		return nil
	}
	return c.TLS.Client.Raw
}

// Verdict words a policy leaves for the log, e.g. "limited". Bounded, so that no route can make an exchange grow.
const maxVerdicts = 8

// Verdict is what one policy decided.
type Verdict struct {
	Policy string
	Word   string
}

// Exchange is one request and its response on their way through.
type Exchange struct {
	// ID names the exchange in the log, the answer and the trace: 32 hexadecimal digits unless a policy took over the client's.
	ID     string
	Conn   *Conn
	Client netip.Addr // who asks, found through trusted proxies only; invalid when unknown
	// Request and Response belong to the exchange; Response counts from the moment Status is not 0.
	Request  Request
	Response Response

	Route    *Route // nil until step 3 found one
	Params   []Param
	Caller   Caller // who asks, as authentication found out (step 4)
	Signals  Signal // what limits and bans may count
	Onward   Onward // what policies ask of the endpoint instead
	Upstream Upstream
	Fault    *fault.Fault // what went wrong, nil when nothing did
	Verdicts []Verdict

	// Challenges are the values of WWW-Authenticate in an answer of 401 or 403, one field each (RFC 9110 §11.6.1).
	Challenges []string
	// Vouched is the credential that was accepted, when endpoints are to see it: a view of the request.
	Vouched string
	// Session is what a policy of steps 4 and 9 keeps of the caller's session between the two.
	Session any
	// Allowances are what limits leave the caller, in the order they were asked. See Allow.
	Allowances []Allowance
	// Refusal is what an authentication policy that refused keeps for its challenge, when it is asked for one.
	Refusal any

	// Cached is what the cache had to do with it.
	Cached Cached

	Times Times
	Bytes Bytes
	// End says how the exchange ended.
	End End
	// Detached says that this is a copy without a client, which renews what is stored. Policies of step 4 have not seen it.
	Detached bool
	// KeepAlive is false when the connection cannot carry another request.
	KeepAlive bool

	// Flow is what the flow keeps here for the next exchange. Nobody else looks at it.
	Flow any
	// Awaited says that others wait for the endpoint's answer besides the client, so that it is fetched although the client has left. It may
	// be called from any goroutine; nil when nobody does.
	Awaited Awaited

	id         [32]byte
	verdicts   [maxVerdicts]Verdict
	allowances [maxAllowances]Allowance
	settlers   [maxSettlers]Settler
	settling   int
	texts      []byte // room for Keep
	scratch    []byte
	own        ownBody
}

// Awaited says whether anybody waits.
type Awaited interface{ Awaited() bool }

// Route is what every step and every observer may know of a matched route. It is made once with the snapshot and immutable.
type Route struct {
	Name string
	// Slot is a small number that stands for Name for the life of the process, so that counters are an index away. 0 is the
	// slot of everything that has none of its own.
	Slot int
	// ServerTiming asks for the Server-Timing field on responses.
	ServerTiming bool
}

// Param is what a {name} in a route's path stood for, or the * at its end, in canonical form.
type Param struct{ Name, Value string }

// Upstream holds the facts of steps 6 and 7.
type Upstream struct {
	Name     string
	Slot     int    // like Route.Slot
	Endpoint string // address of the endpoint that answered or failed last
	Status   int    // of the endpoint's answer, 0 when there was none
	Tries    int    // requests sent or attempted, 0 when step 7 was not reached
	Reused   bool   // the last try went over a connection that had carried others
	Opened   string // why the last try opened a connection, empty when it reused one
	Why      string // why there was no further try after a failed one
}

// Bytes counts what went over the wires, heads included.
type Bytes struct {
	In          int64 // from the client
	Out         int64 // to the client
	UpstreamOut int64 // to endpoints
	UpstreamIn  int64 // from endpoints
}

// End says how an exchange ended.
type End uint8

// The ways to end.
const (
	Completed     End = iota // the response was written to its end
	ClientGone               // the client left first
	UpstreamBroke            // the response broke off because the endpoint did
	Shed                     // the gateway refused to start it
	Tunnelled                // it became a tunnel, which is over now
	Aborted                  // the gateway broke it off
)

func (e End) String() string {
	return [...]string{"completed", "client_gone", "upstream_broke", "shed", "tunnel_closed", "aborted"}[e]
}

// Begin makes the exchange ready for the next request of conn. It gives the exchange a fresh, unguessable ID.
func (x *Exchange) Begin(conn *Conn, now int64) {
	conn.Requests++
	x.Conn = conn
	x.Client = conn.Peer.Addr()
	x.Times = Times{Start: now}
	x.Bytes = Bytes{}
	x.Upstream, x.Onward = Upstream{}, Onward{}
	x.Route, x.Fault, x.End = nil, nil, Completed
	x.Cached, x.Awaited, x.Detached = Cached{}, nil, false
	x.Caller, x.Signals, x.Session, x.Refusal, x.Vouched = Caller{}, 0, nil, nil, ""
	clear(x.Challenges)
	x.Challenges = x.Challenges[:0]
	x.Params = x.Params[:0]
	x.Verdicts = x.verdicts[:0]
	x.Allowances = x.allowances[:0]
	if x.texts = x.texts[:0]; cap(x.texts) > maxKeptRoom {
		x.texts = nil
	}
	x.KeepAlive = false

	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64())
	hex.Encode(x.id[:], raw[:])
	x.ID = unsafe.String(&x.id[0], len(x.id))

	header, trailer, said := x.Request.Header, x.Request.Trailer, x.Request.said
	header.Reset()
	trailer.Reset()
	said.Reset()
	x.Request = Request{Header: header, Trailer: trailer, said: said}
	x.DropResponse()
}

// DropResponse forgets a response, so that another can be made.
func (x *Exchange) DropResponse() {
	header, trailer := x.Response.Header, x.Response.Trailer
	header.Reset()
	trailer.Reset()
	x.Response = Response{Header: header, Trailer: trailer}
}

// Fail notes what went wrong. The first fault of an exchange is the one that is told; later ones follow from it.
func (x *Exchange) Fail(f *fault.Fault) {
	if x.Fault == nil {
		x.Fault = f
	}
}

// Judge leaves a policy's verdict for the log. After maxVerdicts further ones are dropped.
func (x *Exchange) Judge(policy, word string) {
	if len(x.Verdicts) < maxVerdicts {
		x.Verdicts = append(x.Verdicts, Verdict{policy, word})
	}
}

// Answered says whether there is a response to send.
func (x *Exchange) Answered() bool { return x.Response.Status != 0 }

// Respond makes an own response with a whole body; contentType may be empty when body is. The body is not copied and must stay
// as it is until step 11 is over.
func (x *Exchange) Respond(status int, contentType string, body []byte) {
	x.DropResponse()
	x.Response.Status = status
	x.Response.Own = true
	x.Response.Length = int64(len(body))
	if contentType != "" {
		x.Response.Header.Append(ContentType, ContentType.String(), contentType)
	}
	if len(body) > 0 {
		x.own = ownBody{rest: body}
		x.Response.Body = &x.own
	}
}

// ownBody is a body that is in memory as a whole.
type ownBody struct{ rest []byte }

func (b *ownBody) Next() ([]byte, error) {
	if len(b.rest) == 0 {
		return nil, io.EOF
	}
	run := b.rest
	b.rest = nil
	return run, nil
}

func (b *ownBody) Buffered() bool { return true }
