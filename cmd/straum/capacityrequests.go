package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/load"
	"straum.dev/straum/internal/load/mix"
)

// mostRouteRequests is how many routes get a request when nobody says what to send.
const mostRouteRequests = 100

// routeRequests makes a request for each route. On a gateway that serves, only what changes nothing is sent. fields are those of every request.
func routeRequests(c *config.Config, host string, fields []load.Field, rehearsing bool) (*mix.Mix, error) {
	m := &mix.Mix{}
	changing := 0
	for i := range c.Routes {
		r := &c.Routes[i]
		method := "GET"
		if all := r.Match.Methods; len(all) > 0 && !slices.Contains(all, "GET") {
			method = all[0]
		}
		if method != "GET" && method != "HEAD" && method != "OPTIONS" && !rehearsing {
			changing++
			continue
		}
		if len(m.Requests) == mostRouteRequests {
			m.Notes = append(m.Notes, fmt.Sprintf("only the first %d of %d routes were sent requests; --mix and --log say better what comes", mostRouteRequests, len(c.Routes)))
			break
		}
		m.Requests = append(m.Requests, routeRequest(r, method, host, fields))
	}
	if changing > 0 {
		m.Notes = append(m.Notes, fmt.Sprintf("%s left out, whose methods may change something; --mix names what may be sent, and --rehearse sends it to nobody", count(changing, "route")))
	}
	if len(m.Requests) == 0 {
		return nil, usage("no route can be asked without changing something; name a request with --path, --mix or --log, or rehearse with --rehearse")
	}
	return m, nil
}

func routeRequest(r *config.Route, method, host string, fields []load.Field) load.Request {
	q := load.Request{Method: method, Host: host, Target: "/", Weight: 1}
	if len(r.Match.Host) > 0 {
		q.Host = strings.Replace(r.Match.Host[0], "*", "www", 1)
	}
	if len(r.Match.Path) > 0 {
		q.Target = examplePath(r.Match.Path[0])
	}
	query := url.Values{}
	for name, value := range r.Match.Query {
		query.Set(name, value)
	}
	if len(query) > 0 {
		q.Target += "?" + query.Encode()
	}
	for _, name := range slices.Sorted(maps.Keys(r.Match.Headers)) {
		q.Fields = append(q.Fields, load.Field{Name: name, Value: r.Match.Headers[name]})
	}
	q.Fields = append(q.Fields, fields...)
	if method == "POST" || method == "PUT" || method == "PATCH" {
		q.Body = []byte("{}")
		if !slices.ContainsFunc(q.Fields, func(f load.Field) bool { return strings.EqualFold(f.Name, "Content-Type") }) {
			q.Fields = append(q.Fields, load.Field{Name: "Content-Type", Value: "application/json"})
		}
	}
	if q.Name = r.Name; q.Name == "" {
		q.Name = q.Method + " " + q.Host + q.Target
	}
	return q
}

// examplePath is a path that a pattern matches: {name} and what stands for all below are 1.
func examplePath(pattern string) string {
	segments := strings.Split(pattern, "/")
	for i, s := range segments {
		if s == "*" || strings.HasPrefix(s, "{") && strings.HasSuffix(s, "}") {
			segments[i] = "1"
		}
	}
	return strings.Join(segments, "/")
}

// tried is what one request was answered before the runs.
type tried struct {
	Name   string `json:"name"`
	Status int    `json:"status"` // 0 is no answer
}

// tryOutTime bounds how long trying out takes: requests that nobody answers would take their time one after the other.
const tryOutTime = 20 * time.Second

// tryOut sends each of the first requests once, to say which of them are refused: then it is refusals that are measured. Those for which the
// time was too short are left out.
func tryOut(ctx context.Context, t *loadTarget, requests []load.Request) (all []tried) {
	ctx, end := context.WithTimeout(ctx, tryOutTime)
	defer end()
	network, address := "tcp", t.address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	transport := &http.Transport{TLSClientConfig: t.tls, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	if t.tls != nil {
		plain := t.tls.Clone()
		plain.NextProtos = []string{"http/1.1"} // what a route answers does not depend on the protocol
		transport.TLSClientConfig = plain
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for i := range requests[:min(len(requests), mostRouteRequests)] {
		q := &requests[i]
		answer := tried{Name: q.Name}
		if r, err := http.NewRequestWithContext(ctx, q.Method, t.url.Scheme+"://"+t.host+q.Target, strings.NewReader(string(q.Body))); err == nil {
			for _, f := range q.Fields {
				r.Header.Add(f.Name, f.Value)
			}
			r.Host = q.Host
			if got, err := client.Do(r); err == nil {
				_, _ = io.Copy(io.Discard, io.LimitReader(got.Body, 64<<20))
				got.Body.Close()
				answer.Status = got.StatusCode
			}
		}
		if ctx.Err() != nil {
			return all
		}
		all = append(all, answer)
	}
	return all
}

// refusals words which requests are refused, by status.
func refusals(all []tried) (notes []string) {
	byStatus := map[int][]string{}
	for _, t := range all {
		if t.Status == 0 || t.Status >= 400 {
			byStatus[t.Status] = append(byStatus[t.Status], t.Name)
		}
	}
	for _, status := range slices.Sorted(maps.Keys(byStatus)) {
		names := byStatus[status]
		text := few(names)
		remedy := ""
		switch status {
		case 0:
			notes = append(notes, "no answer came for "+text)
			continue
		case http.StatusUnauthorized, http.StatusForbidden:
			remedy = "; give a credential with -H 'Authorization: ...' or in --mix"
		case http.StatusNotFound, http.StatusMethodNotAllowed:
			remedy = "; name requests that are right with --path, --mix or --log"
		case http.StatusTooManyRequests:
			remedy = "; a limit was used up by the first request already"
		case http.StatusMisdirectedRequest:
			remedy = "; the name asked for is not one of the certificate's: --host"
		}
		notes = append(notes, fmt.Sprintf("answered with %d, so that refusals are measured: %s%s", status, text, remedy))
	}
	return notes
}
