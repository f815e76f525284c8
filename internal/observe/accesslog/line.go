package accesslog

import (
	"strings"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// Room for each value, in bytes as written. Together with the keys and numbers they bound a line.
const (
	roomID      = 128
	roomName    = 128 // of listeners, routes, upstreams, endpoints
	roomMethod  = 32
	roomHost    = 256
	roomPath    = 1024
	roomQuery   = 1024
	roomWord    = 64
	roomCause   = 512
	roomAgent   = 256
	roomReferer = 512

	// maxLine is more than the longest line there can be, its line feed included.
	maxLine = 8 << 10
)

// stamp formats instants of one second after another; what a second's instants share is formatted once.
type stamp struct {
	from int64    // the reading of the clock at which this second began
	text [20]byte // "2006-01-02T15:04:05."
	wall func(int64) time.Time
}

func (s *stamp) append(b []byte, now int64) []byte {
	into := now - s.from
	if uint64(into) >= uint64(time.Second) || s.from == 0 {
		wall := s.wall(now).UTC()
		into = int64(wall.Nanosecond())
		s.from = now - into
		wall.AppendFormat(s.text[:0], "2006-01-02T15:04:05.")
	}
	ms := into / int64(time.Millisecond)
	b = append(b, s.text[:]...)
	return append(b, byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// appendLine appends the line of x, which ended at now. Every field is described in docs/log.md, with what its absence means:
// most exchanges are alike, and a byte that says so costs as much to write and keep as one that says something.
func appendLine(b []byte, x *exchange.Exchange, s *Settings, at *stamp, now int64, cause string) []byte {
	b = append(b, `{"time":"`...)
	b = at.append(b, now)
	b = append(b, '"')
	b = appendString(b, `,"id":"`, x.ID, roomID)
	if s.Client != ClientNone && x.Client.IsValid() {
		b = append(b, `,"client":"`...)
		b = appendClient(b, x.Client, s.Client)
		b = append(b, '"')
	}
	if named(x.Conn.Listener) {
		b = appendString(b, `,"listener":"`, x.Conn.Listener, roomName)
	}
	b = appendRequest(b, x, s)
	b = appendTLS(b, x.Conn.TLS)
	b = appendCaller(b, &x.Caller, s)
	b = appendNumber(b, `,"status":`, int64(x.Response.Status))
	if code, ok := x.Response.GRPC(); ok {
		b = appendNumber(b, `,"grpc_status":`, int64(code))
	}
	if x.Route != nil {
		b = appendString(b, `,"route":"`, x.Route.Name, roomName)
	}
	b = appendUpstream(b, x)
	if x.Cached.Outcome != exchange.CacheNone {
		b = appendCached(b, &x.Cached)
	}
	b = appendNumber(b, `,"bytes_in":`, x.Bytes.In)
	b = appendNumber(b, `,"bytes_out":`, x.Bytes.Out)
	if tellsUpstreamBytes(x) {
		b = appendNumber(b, `,"upstream_bytes_out":`, x.Bytes.UpstreamOut)
		b = appendNumber(b, `,"upstream_bytes_in":`, x.Bytes.UpstreamIn)
	}
	b = appendTimes(b, x, now)
	if x.Fault != nil {
		b = appendFault(b, x.Fault, cause)
	}
	if x.End != exchange.Completed {
		b = append(b, `,"end":"`...)
		b = append(b, x.End.String()...)
		b = append(b, '"')
	}
	b = appendVerdicts(b, x.Verdicts, x.Caller.Method)
	b = appendSaid(b, x, s)
	return append(b, '}', '\n')
}

func appendRequest(b []byte, x *exchange.Exchange, s *Settings) []byte {
	r := &x.Request
	b = appendString(b, `,"method":"`, r.Method, roomMethod)
	b = appendString(b, `,"host":"`, r.Host, roomHost)
	b = appendString(b, `,"path":"`, r.Path, roomPath)
	if r.Query != "" && s.Query != QueryNone {
		b = append(b, `,"query":"`...)
		if s.Query == QueryFull {
			b = appendText(b, r.Query, roomQuery)
		} else {
			b = appendQuery(b, r.Query, s.QueryKeep, roomQuery)
		}
		b = append(b, '"')
	}
	switch {
	case r.Major == 2:
		b = append(b, `,"proto":"HTTP/2"`...)
	case r.Major == 1 && r.Minor == 0:
		b = append(b, `,"proto":"HTTP/1.0"`...)
	}
	return b
}

// named says whether a listener is called by a name of its own. One without is called by its address, and only that has a colon.
func named(listener string) bool { return strings.IndexByte(listener, ':') < 0 }

func appendUpstream(b []byte, x *exchange.Exchange) []byte {
	u := &x.Upstream
	if u.Name == "" {
		return b
	}
	if u.Endpoint == "" || x.Route == nil || u.Name != x.Route.Name {
		b = appendString(b, `,"upstream":"`, u.Name, roomName)
	}
	b = appendString(b, `,"endpoint":"`, u.Endpoint, roomName)
	if u.Status != 0 && (u.Status != x.Response.Status || x.Fault != nil) {
		b = appendNumber(b, `,"upstream_status":`, int64(u.Status))
	}
	if u.Tries != 1 {
		b = appendNumber(b, `,"tries":`, int64(u.Tries))
	}
	b = appendString(b, `,"opened":"`, u.Opened, roomWord)
	return appendString(b, `,"why":"`, u.Why, roomWord)
}

// alike is how many bytes the client's side and the upstream's may differ by and still be told by one number: fields the gateway
// adds or drops on the way.
const alike = 1 << 10

// tellsUpstreamBytes says whether the bytes of the upstream's side are worth telling besides the client's.
func tellsUpstreamBytes(x *exchange.Exchange) bool {
	if x.Upstream.Tries != 1 || x.End == exchange.Tunnelled {
		return x.Upstream.Tries > 0
	}
	up, down := x.Bytes.UpstreamOut-x.Bytes.In, x.Bytes.UpstreamIn-x.Bytes.Out
	return up >= alike || -up >= alike || down >= alike || -down >= alike
}

func appendTimes(b []byte, x *exchange.Exchange, now int64) []byte {
	total, upstream := x.Shares(now)
	b = appendNumber(b, `,"total_us":`, total/1000)
	if x.Times.Forward != 0 {
		b = appendNumber(b, `,"upstream_us":`, upstream/1000)
	}
	return appendNumber(b, `,"own_us":`, (total-upstream)/1000)
}

func appendFault(b []byte, f *fault.Fault, cause string) []byte {
	b = appendString(b, `,"fault":"`, f.Kind.Word, roomWord)
	b = append(b, `,"side":"`...)
	b = append(b, f.Kind.Side.String()...)
	b = append(b, '"')
	return appendString(b, `,"cause":"`, cause, roomCause)
}

// appendVerdicts appends what policies decided, but for what the auth field tells already: that a method accepted.
func appendVerdicts(b []byte, verdicts []exchange.Verdict, method string) []byte {
	none := true
	for i := range verdicts {
		v := &verdicts[i]
		if v.Word == accepted && v.Policy == method {
			continue
		}
		if none {
			b = append(b, `,"verdicts":["`...)
		} else {
			b = append(b, `","`...)
		}
		none = false
		b = appendText(b, v.Policy, roomWord)
		b = append(b, ':')
		b = appendText(b, v.Word, roomWord)
	}
	if !none {
		b = append(b, '"', ']')
	}
	return b
}

// accepted is the word of a method that accepted a credential.
const accepted = "accepted"

// appendSaid appends what the client said about itself. Authorization, Cookie and all other fields stay out, whatever the
// settings.
func appendSaid(b []byte, x *exchange.Exchange, s *Settings) []byte {
	agent, _ := x.Request.Said().Get(exchange.UserAgent)
	b = appendString(b, `,"user_agent":"`, agent, roomAgent)
	if s.Referer {
		referer, _ := x.Request.Said().Get(exchange.Referer)
		b = appendString(b, `,"referer":"`, withoutQuery(referer, s.Query), roomReferer)
	}
	return b
}

func withoutQuery(referer string, detail Query) string {
	if detail != QueryFull {
		for i := 0; i < len(referer); i++ {
			if referer[i] == '?' || referer[i] == '#' {
				return referer[:i]
			}
		}
	}
	return referer
}

// appendString appends a field whose key opens the quotes, or nothing when there is no value.
func appendString(b []byte, key, value string, room int) []byte {
	if value == "" {
		return b
	}
	b = append(b, key...)
	b = appendText(b, value, room)
	return append(b, '"')
}

// matters says that a line is worth more than others when not all can be kept: something went wrong or someone was refused. A
// request for what is not published counts as ordinary, or any scanner could use up the room held back.
func matters(x *exchange.Exchange) bool {
	switch x.Response.Status {
	case 401, 403, 429:
		return true
	}
	if x.Response.Status >= 500 || x.End == exchange.Shed || x.End == exchange.UpstreamBroke || x.End == exchange.Aborted {
		return true
	}
	if code, ok := x.Response.GRPC(); ok && grpcMatters(code) {
		return true
	}
	return x.Fault != nil && x.Fault.Kind != fault.NoRoute && x.Fault.Kind != fault.MethodNotAllowed
}

// operatorCause is the text of what lies behind a fault.
func operatorCause(x *exchange.Exchange, detail Client) string {
	if x.Fault == nil || x.Fault.Cause == nil {
		return ""
	}
	text := x.Fault.Cause.Error()
	if detail != ClientFull {
		text = withoutClient(text, x.Client, x.Conn.Peer.Addr())
	}
	return text
}
