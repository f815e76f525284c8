// Package forwardauth is the policy forward_auth (step 4): a service decides. It is asked by a sub-request with chosen fields of the
// client's request; a status of 2xx lets the request go on, with chosen fields of the service's answer, and any other below 500 refuses it,
// with the service's own answer for the client.
//
// In reading order: options.go (what an operator may set), forwardauth.go (one request), service.go (who is asked), memory.go (what it
// said a moment ago).
//
// It refuses to send the body of a request, to let a request through that nobody decided on, to pass fields on that the operator did not
// name, and to let a client's fields pass for the service's.
package forwardauth

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/fetch"
)

// What a service is told besides the fields that exchange knows.
const (
	forwardedMethod = "X-Forwarded-Method"
	forwardedURI    = "X-Forwarded-Uri"
)

type forwardAuth struct {
	service *service
	url     *url.URL
	method  string
	same    bool // the client's method
	// copied go to the service, granted from its consent to the endpoint, told from its refusal to the client.
	copied, granted, told         []field
	both                          *exchange.Names // of those copied and granted
	judges                        bool            // Authorization is one of those copied
	consumerHeader, subjectHeader string
	consumers                     *consumer.Directory
	memory                        *memory // nil when nothing is remembered
}

// consent is what the service says of one whom it accepts. It lies in Exchange.Refusal until Hide gives its fields to the endpoint. It is
// immutable and may be remembered, so it holds no consumer, which belongs to a revision.
type consent struct {
	fields            fetch.Header
	subject, consumer string
}

// refusal is the service's answer, for the client if nobody else accepts.
type refusal struct{ answer fetch.Response }

// stranger is a caller whom the service accepts and who is no consumer here.
type stranger struct{}

var errStranger = errors.New("the service that authenticates names no consumer of the configuration")

// Authenticate implements policy.Authenticator.
func (p *forwardAuth) Authenticate(x *exchange.Exchange) policy.Finding {
	q := &x.Request
	if p.judges && q.Header.Count(exchange.Authorization) > 1 {
		x.Judge(name, "twice")
		x.Fail(fault.New(fault.BadCredential, nil))
		return policy.Refused
	}
	var key digest
	var begin int64
	if p.memory != nil {
		begin = clock.Now()
		key = p.digest(x)
		if c := p.memory.find(key, begin); c != nil {
			return p.accept(x, c)
		}
	}
	sent := p.request(x)
	answer, failed := p.service.ask(sent.request)
	if failed != nil {
		x.Judge(name, "unavailable")
		f := fault.New(fault.AuthUnavailable, failed.why)
		f.RetryAfter = failed.after
		x.Fail(f)
		return policy.Refused
	}
	if answer.Status > 299 {
		p.service.refused.Add(1)
		x.Refusal = &refusal{answer}
		return p.refused(x, answer.Status, sent.credential)
	}
	p.service.accepted.Add(1)
	c, bad := p.read(&answer)
	if bad != "" {
		return p.unusable(x, bad)
	}
	found := p.accept(x, c)
	if found == policy.Accepted && p.memory != nil {
		p.memory.keep(key, c, begin, answer.Header)
	}
	return found
}

// copies gives the option by which a field of the request goes to the service; nil when none does. A cookie that is the credential of
// another method and hidden from endpoints is hidden from services too.
func (p *forwardAuth) copies(f *exchange.Field) *field {
	if policy.SetAside(f) {
		return nil
	}
	for i := range p.copied {
		c := &p.copied[i]
		if f.Known == c.known && (f.Known != exchange.Other || strings.EqualFold(f.Name, c.name)) {
			return c
		}
	}
	return nil
}

// sent is a sub-request. credential says that it has a field other than a cookie from the client.
type sent struct {
	request    fetch.Request
	credential bool
}

// request makes the sub-request; what goes into it goes into digest too. Path and query are those that the endpoint will get, or the service would
// decide on something else.
func (p *forwardAuth) request(x *exchange.Exchange) (s sent) {
	q := &x.Request
	method := p.method
	if p.same {
		method = q.Method
	}
	header := make(fetch.Header, 0, len(p.copied)+5)
	for i := range q.Header.All() {
		f := &q.Header.All()[i]
		if c := p.copies(f); c != nil {
			header = append(header, fetch.Field{Name: c.name, Value: f.Value})
			s.credential = s.credential || credential(f.Known)
		}
	}
	uri := q.Path
	if q.Query != "" {
		uri += "?" + q.Query
	}
	host := q.Host
	if q.Port != "" {
		host += ":" + q.Port
	}
	from := "unknown" // as behind a unix socket
	if a := address(x); a.IsValid() {
		from = a.String()
	}
	header = append(header,
		fetch.Field{Name: forwardedMethod, Value: q.Method},
		fetch.Field{Name: "X-Forwarded-Proto", Value: q.Scheme},
		fetch.Field{Name: "X-Forwarded-Host", Value: host},
		fetch.Field{Name: forwardedURI, Value: uri},
		fetch.Field{Name: "X-Forwarded-For", Value: from})
	s.request = fetch.Request{Method: method, URL: p.url, Header: header}
	return s
}

// credential says whether a copied field is worth a failed attempt when the service refuses. Browsers send cookies that have nothing to do
// with it, and say what they are and take.
func credential(known exchange.Known) bool {
	switch known {
	case exchange.Cookie, exchange.Accept, exchange.AcceptEncoding, exchange.AcceptLanguage, exchange.UserAgent, exchange.Referer, exchange.Origin,
		exchange.XRequestID, exchange.Traceparent, exchange.Tracestate, exchange.ContentType:
		return false
	}
	return true
}

func address(x *exchange.Exchange) netip.Addr {
	a := x.Client
	if !a.IsValid() {
		a = x.Conn.Peer.Addr()
	}
	return a.Unmap().WithZone("")
}

// refused says what a refusal is worth: one who is sent to a login page has shown nothing, and so has one who came with cookies alone.
func (p *forwardAuth) refused(x *exchange.Exchange, status int, credential bool) policy.Finding {
	word := "refused"
	switch {
	case status < 400:
		x.Judge(name, "redirected")
		return policy.Nothing
	case status == 401:
		word = "unauthorized"
	case status == 403:
		x.Judge(name, "forbidden")
		return policy.Refused
	}
	x.Judge(name, word)
	if credential {
		return policy.Refused
	}
	return policy.Nothing
}

// read takes out of a consent what is asked for. bad is the name of a field that cannot be passed on. The strings are copies, which pin
// nothing.
func (p *forwardAuth) read(answer *fetch.Response) (c *consent, bad string) {
	c = &consent{}
	for _, f := range answer.Header {
		for _, g := range p.granted {
			if strings.EqualFold(f.Name, g.name) {
				if !exchange.FitsField(f.Value) {
					return nil, g.name
				}
				c.fields = append(c.fields, fetch.Field{Name: g.name, Value: strings.Clone(f.Value)})
				break
			}
		}
	}
	if p.subjectHeader != "" {
		if c.subject = strings.Clone(answer.Header.Get(p.subjectHeader)); !exchange.FitsField(c.subject) {
			return nil, p.subjectHeader
		}
	}
	if p.consumerHeader != "" {
		c.consumer = strings.Clone(answer.Header.Get(p.consumerHeader))
	}
	return c, ""
}

// accept fills in the caller.
func (p *forwardAuth) accept(x *exchange.Exchange, c *consent) policy.Finding {
	caller := exchange.Caller{Subject: c.subject}
	if p.consumerHeader != "" {
		if caller.Consumer = p.consumers.Consumer(c.consumer); caller.Consumer == nil {
			x.Judge(name, "unknown_consumer")
			x.Refusal = stranger{}
			return policy.Refused
		}
	}
	x.Caller = caller
	x.Refusal = c
	if value, there := x.Request.Header.Get(exchange.Authorization); there && p.judges {
		x.Vouched = value // all of it was judged, its scheme too
	}
	return policy.Accepted
}

// unusable is for a consent with a field that cannot be passed on: the endpoint would decide without it.
func (p *forwardAuth) unusable(x *exchange.Exchange, field string) policy.Finding {
	x.Judge(name, "unusable_answer")
	x.Fail(fault.New(fault.AuthUnavailable, errors.New("the field "+field+" of the service that authenticates holds control characters")))
	return policy.Refused
}

// Challenge implements policy.Authenticator: the client gets the service's answer.
func (p *forwardAuth) Challenge(x *exchange.Exchange, _ policy.Finding) {
	switch r := x.Refusal.(type) {
	case stranger:
		x.Signals |= exchange.Forbidden
		x.Fail(fault.New(fault.Forbidden, errStranger))
	case *refusal:
		p.tell(x, &r.answer)
	}
}

func (p *forwardAuth) tell(x *exchange.Exchange, answer *fetch.Response) {
	x.Respond(answer.Status, "", answer.Body)
	h := &x.Response.Header
	kept := false
	for _, f := range answer.Header {
		for _, t := range p.told {
			if strings.EqualFold(f.Name, t.name) && exchange.FitsField(f.Value) && (t.known != exchange.ContentType || len(answer.Body) > 0) {
				h.Append(t.known, t.name, f.Value)
				kept = kept || t.known == exchange.CacheControl
				break
			}
		}
	}
	if coding := answer.Header.Get("Content-Encoding"); len(answer.Body) > 0 && coding != "" && exchange.FitsField(coding) {
		h.Append(exchange.ContentEncoding, exchange.ContentEncoding.String(), coding)
	}
	if answer.Status == 401 {
		for _, c := range x.Challenges { // of methods that were asked before
			h.Append(exchange.WWWAuthenticate, exchange.WWWAuthenticate.String(), c)
		}
	}
	if !kept {
		h.Append(exchange.CacheControl, exchange.CacheControl.String(), "no-store")
	}
}

// Reserves implements policy.Reserver: what the service grants nobody else may say. What the service itself is asked with has to stay until
// it was; Hide sees to that.
func (p *forwardAuth) Reserves() (names []string) {
	for _, g := range p.granted {
		if !p.both.Has(g.name) {
			names = append(names, g.name)
		}
	}
	return names
}

// Hide implements policy.Authenticator: the service's fields take the place of the client's, whoever was accepted. An Authorization that the
// service accepted stays, since it is often the endpoint's too; one that the service was to judge and did not accept goes.
func (p *forwardAuth) Hide(x *exchange.Exchange, finding policy.Finding) {
	if h := &x.Request.Header; p.judges && finding != policy.Accepted {
		if value, _ := h.Get(exchange.Authorization); h.Count(exchange.Authorization) != 1 || !policy.Vouched(x, value) {
			h.Del(exchange.Authorization)
		}
	}
	x.Request.Reserve(p.both)
	c, ok := x.Refusal.(*consent)
	if !ok {
		return
	}
	for _, f := range c.fields {
		x.Request.Header.Add(f.Name, f.Value)
	}
}
