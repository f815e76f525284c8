package http2

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"straum.dev/straum/test/hostile"
	"straum.dev/straum/test/wire"
)

//go:embed smuggle.txt
var smuggle string

// attempt is one entry of smuggle.txt.
type attempt struct {
	name, want, reason string
	line               int
	fields, trailers   []wire.Field
	content            []byte
}

// attempts reads the table.
func attempts(t *testing.T) (all []*attempt) {
	t.Helper()
	for i, line := range strings.Split(smuggle, "\n") {
		body, isPart := strings.CutPrefix(line, "\t")
		switch {
		case line == "" || line[0] == '#':
		case !isPart:
			parts := strings.SplitN(line, " | ", 3)
			if len(parts) != 3 {
				t.Fatalf("smuggle.txt:%d: %q", i+1, line)
			}
			all = append(all, &attempt{name: parts[0], want: parts[1], reason: parts[2], line: i + 1})
		default:
			if err := all[len(all)-1].add(body); err != nil {
				t.Fatalf("smuggle.txt:%d: %v", i+1, err)
			}
		}
	}
	return all
}

func (a *attempt) add(part string) error {
	switch {
	case part == "+":
		a.fields = append(a.fields, wire.Field{Name: ":method", Value: "POST"}, wire.Field{Name: ":scheme", Value: "https"},
			wire.Field{Name: ":authority", Value: "a"}, wire.Field{Name: ":path", Value: "/"})
	case part == "-":
		a.fields = append(a.fields, wire.Field{Name: ":method", Value: "POST"}, wire.Field{Name: ":scheme", Value: "https"}, wire.Field{Name: ":path", Value: "/"})
	case strings.HasPrefix(part, "= "):
		content, err := strconv.Unquote(part[2:])
		a.content = []byte(content)
		return err
	default:
		into := &a.fields
		if rest, ok := strings.CutPrefix(part, "~ "); ok {
			into, part = &a.trailers, rest
		}
		quoted, err := strconv.QuotedPrefix(part)
		if err != nil {
			return err
		}
		name, _ := strconv.Unquote(quoted) // it is quoted
		value, err := strconv.Unquote(strings.TrimSpace(part[len(quoted):]))
		if err != nil {
			return err
		}
		*into = append(*into, wire.Field{Name: name, Value: value})
	}
	return nil
}

// play sends an attempt and says how it ended.
func (a *attempt) play(s *wire.Streams) (string, error) {
	st, err := s.Open(a.content == nil && a.trailers == nil, a.fields...)
	if err != nil {
		return "", err
	}
	if a.content != nil {
		if err := st.Send(a.content, a.trailers == nil); err != nil && !errors.As(err, new(wire.Reset)) {
			return "", err
		}
	}
	if a.trailers != nil {
		if err := st.Trailers(a.trailers...); err != nil {
			return "", err
		}
	}
	m, err := st.Answer()
	var reset wire.Reset
	if errors.As(err, &reset) {
		if reset.Code != xhttp2.ErrCodeProtocol {
			return "reset by " + reset.Code.String(), nil
		}
		return "reset", nil
	}
	if err != nil {
		return "", err
	}
	return strconv.Itoa(wire.Status(m)), nil
}

// TestSmuggling plays the table over both ways in, with an endpoint that reads HTTP/1.1 more strictly than any real one. The connection
// goes on after each attempt: what is malformed is the stream.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	endpoint, err := hostile.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer endpoint.Close()
	f := open(t, endpoint.Addr(), setting{})
	for _, secure := range []bool{true, false} {
		var s *wire.Streams
		for _, a := range attempts(t) {
			where := fmt.Sprintf("smuggle.txt:%d: %s", a.line, a.name)
			if s == nil {
				s = f.streams(t, secure)
			}
			got, err := a.play(s)
			if err != nil {
				t.Errorf("%s: want %s, got %v, %v; %s", where, a.want, err, s.Leaving(), a.reason)
				s = nil
				continue
			}
			wanted, late := strings.CutSuffix(a.want, ", late")
			if got != wanted && !(late && got == "200") {
				t.Errorf("%s: want %s, got %s; %s", where, a.want, got, a.reason)
			}
			m, err := s.Get("/probe")
			if err != nil || wire.Status(m) != 200 || string(m.Body) != "ok\n" {
				t.Errorf("%s: then a request was answered %v, %v; %v", where, m, err, s.Leaving())
				s = nil
			}
			requests, faults := endpoint.Take()
			probes := 0
			for _, request := range requests {
				if strings.Contains(request, "smuggled") {
					t.Errorf("%s: %s reached the endpoint; %s", where, request, a.reason)
				}
				if request == "GET /probe" {
					probes++
				}
			}
			want := 0
			if a.want == "200" {
				want = 1
			}
			if n := len(requests) - probes; n != want && !(late && n == 1) || probes != 1 {
				t.Errorf("%s: %q reached the endpoint; %s", where, requests, a.reason)
			}
			for _, fault := range faults {
				if !strings.Contains(fault, io.ErrUnexpectedEOF.Error()) { // one that is broken off is no request
					t.Errorf("%s: the endpoint was sent what two readers could take in two ways: %s; %s", where, fault, a.reason)
				}
			}
		}
	}
}
