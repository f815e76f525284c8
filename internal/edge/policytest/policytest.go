// Package policytest runs policies in tests as a gateway runs them: their options are read from YAML, they are built, bound and put into a
// chain, and requests go through steps 4, 8 and 9 of it. It is for tests alone.
//
// It refuses to be a codec: requests are written well-formed, and their bodies are in memory.
package policytest

import (
	"io"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/keyring"
)

// World is a policy.World to be changed before policies are bound in it.
type World struct {
	policy.World
	t   testing.TB
	Env map[string]string // for ${NAME} in options
	// File is what options stand in, for paths beside it.
	File string
}

// New makes a world without consumers and without a shared store, whose things are given up at the end of the test.
func New(t testing.TB) *World {
	w := &World{t: t, File: "test.yaml", Env: map[string]string{}}
	w.State = policy.NewState()
	w.Consumers = consumer.Empty()
	w.Keys = keyring.Random()
	w.Log = slog.New(slog.DiscardHandler)
	t.Cleanup(w.State.Close)
	return w
}

// Running is a chain that runs.
type Running struct {
	Chain *policy.Chain
	// Conn is the connection requests come on: plain, from 192.0.2.1.
	Conn *exchange.Conn
	// Scheme is how the client reached us: http, unless it is changed.
	Scheme string
	t      testing.TB
}

// Policy is a chain of one policy.
func (w *World) Policy(kind policy.Kind, yaml string) *Running {
	w.t.Helper()
	return w.Policies(Use{kind, yaml})
}

// Use is a policy with its options in YAML.
type Use struct {
	Kind policy.Kind
	YAML string
}

// Policies is a chain of several, in this order.
func (w *World) Policies(uses ...Use) *Running {
	w.t.Helper()
	r, err := w.chain(uses...)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// Refused is why a policy with these options cannot be built or bound.
func (w *World) Refused(kind policy.Kind, yaml string) string {
	w.t.Helper()
	_, err := w.chain(Use{kind, yaml})
	if err == nil {
		w.t.Errorf("not refused: %s", yaml)
		return ""
	}
	return err.Error()
}

func (w *World) chain(uses ...Use) (*Running, error) {
	w.t.Helper()
	c := &policy.Chain{}
	for _, use := range uses {
		d, err := document.Parse(w.File, []byte(use.YAML), document.Sources{Getenv: func(name string) (string, bool) {
			value, ok := w.Env[name]
			return value, ok
		}})
		if err != nil {
			w.t.Fatal(err)
		}
		built, err := use.Kind.Build(options{d.Root()})
		if err != nil {
			return nil, err
		}
		if !c.Add(use.Kind.Name, built) {
			w.t.Fatalf("policy %s takes part in no step", use.Kind.Name)
		}
	}
	w.State.Begin()
	bound, err := c.Bind(&w.World)
	if err != nil {
		w.State.Drop()
		return nil, err
	}
	w.State.Start()
	w.State.Keep()
	return &Running{Chain: bound, Scheme: "http", t: w.t, Conn: &exchange.Conn{
		Peer: netip.MustParseAddrPort("192.0.2.1:40000"), Local: netip.MustParseAddrPort("192.0.2.2:80"), Listener: "test",
	}}, nil
}

// options are those of a policy that are a document of their own.
type options struct{ node document.Node }

func (o options) Decode(into any) error { return o.node.Decode(into) }

func (o options) Errorf(key, format string, args ...any) error {
	at := o.node
	if key != "" && at.Has(key) {
		at = at.At(key)
	}
	return at.Errorf(format, args...)
}

// Scope is a route's.
func (o options) Scope() string { return "test" }

// Upstream knows those called up, up1, up2 and so on.
func (o options) Upstream(key, name string) error {
	if strings.HasPrefix(name, "up") {
		return nil
	}
	return o.Errorf(key, "there is no upstream %s", name)
}

func (o options) Beside(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return o.node.File()[:strings.LastIndex(o.node.File(), "/")+1] + path
}

// Request makes an exchange of a request as HTTP/1.1 writes it; lines may end in \n alone. Nothing has run on it.
func (r *Running) Request(text string) *exchange.Exchange {
	r.t.Helper()
	head, body, _ := strings.Cut(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n")
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	start := strings.Fields(lines[0])
	if len(start) != 3 {
		r.t.Fatalf("%q is no request line", lines[0])
	}
	x := &exchange.Exchange{}
	x.Begin(r.Conn, 1)
	q := &x.Request
	q.Method, q.Target, q.Scheme, q.Minor, q.Major = start[0], start[1], r.Scheme, 1, 1
	q.Path, q.Query, _ = strings.Cut(q.Target, "?")
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			r.t.Fatalf("%q is no field line", line)
		}
		value = strings.TrimSpace(value)
		switch known := exchange.Lookup(name); known {
		case exchange.Host:
			q.Host, q.Port, _ = strings.Cut(strings.ToLower(value), ":")
			q.Header.Add(name, value)
		case exchange.ContentLength:
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				r.t.Fatal(err)
			}
			q.Length = n
			q.Header.Add(name, value)
		default:
			q.Header.Add(name, value)
		}
	}
	if body != "" {
		q.Length = int64(len(body))
		q.Body = &inMemory{rest: []byte(body)}
	}
	return x
}

// Ask takes a request through step 4 and, when a policy answered, through step 9.
func (r *Running) Ask(text string) *exchange.Exchange {
	r.t.Helper()
	x := r.Request(text)
	r.Chain.Request(x)
	if x.Answered() {
		r.Chain.Response(x)
	}
	return x
}

// inMemory is the body of a request, in runs of a few bytes.
type inMemory struct{ rest []byte }

func (b *inMemory) Next() ([]byte, error) {
	if len(b.rest) == 0 {
		return nil, io.EOF
	}
	n := min(7, len(b.rest))
	run := b.rest[:n]
	b.rest = b.rest[n:]
	return run, nil
}

func (b *inMemory) Buffered() bool { return true }

// Verdict is the last verdict of a policy on an exchange, empty for none.
func Verdict(x *exchange.Exchange, of string) string {
	word := ""
	for _, v := range x.Verdicts {
		if v.Policy == of {
			word = v.Word
		}
	}
	return word
}
