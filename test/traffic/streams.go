package traffic

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"straum.dev/straum/test/wire"
)

// StreamPlan says what a StreamLoad does.
type StreamPlan struct {
	Addr    string      // of the gateway, host:port
	TLS     *tls.Config // nil for HTTP/2 by prior knowledge
	Conns   int         // connections at a time
	Streams int         // streams at a time on each
	Pause   time.Duration
	// Request returns the fields and the content of the n-th request; nil is a GET of /.
	Request func(n int64) ([]wire.Field, []byte)
	// Check judges an answer; nil wants 200.
	Check func(m *wire.Message) error
	// UntilRefused ends a connection's work, without a failure, when the gateway takes no connections any more.
	UntilRefused bool
}

// StreamLoad sends requests over HTTP/2, many at a time on each connection. A connection that was told to go away is replaced by
// another; its streams that are under way have to be answered all the same. Only what the gateway says it has not looked at is sent
// again.
type StreamLoad struct {
	plan    StreamPlan
	over    atomic.Bool
	done    sync.WaitGroup
	answers atomic.Int64
	away    atomic.Int64
	again   atomic.Int64

	mu       sync.Mutex
	failures []string
	failed   int
}

// StreamResult is what came of it.
type StreamResult struct {
	Answers  int64    // good ones
	Failed   int      // requests without the answer that was wanted
	Failures []string // the first of them
	Away     int64    // connections that were told to go
	Again    int64    // requests that were refused unseen, and sent again
}

// StartStreams begins a load.
func StartStreams(plan StreamPlan) *StreamLoad {
	if plan.Request == nil {
		plan.Request = func(int64) ([]wire.Field, []byte) { return wire.Ask("GET", "localhost", "/"), nil }
	}
	if plan.Check == nil {
		plan.Check = func(m *wire.Message) error {
			if wire.Status(m) != http.StatusOK {
				return fmt.Errorf("status %d: %.200q", wire.Status(m), m.Body)
			}
			return nil
		}
	}
	l := &StreamLoad{plan: plan}
	for i := range plan.Conns {
		l.done.Go(func() { l.runConn(i) })
	}
	return l
}

// Answers is how many there were so far.
func (l *StreamLoad) Answers() int64 { return l.answers.Load() }

// Stop ends the load after the requests under way.
func (l *StreamLoad) Stop() StreamResult {
	l.over.Store(true)
	return l.Wait()
}

// Wait waits for the end of the load: by Stop, or with UntilRefused.
func (l *StreamLoad) Wait() StreamResult {
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return StreamResult{l.answers.Load(), l.failed, l.failures, l.away.Load(), l.again.Load()}
}

func (l *StreamLoad) fail(conn int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed++
	if len(l.failures) < 10 {
		l.failures = append(l.failures, fmt.Sprintf("%s connection %d: %v", time.Now().Format("15:04:05.000"), conn, err))
	}
}

// runConn keeps one connection, and after it the next.
func (l *StreamLoad) runConn(id int) {
	for !l.over.Load() {
		s, err := wire.Connect(l.plan.Addr, l.plan.TLS)
		if err != nil {
			if l.plan.UntilRefused && (errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)) {
				return
			}
			l.fail(id, fmt.Errorf("no connection: %w", err))
			time.Sleep(10 * time.Millisecond) // not a spin while nobody listens
			continue
		}
		var streams sync.WaitGroup
		for range l.plan.Streams {
			streams.Go(func() { l.runStream(id, s) })
		}
		streams.Wait()
		if s.Leaving() != nil {
			l.away.Add(1)
		}
		s.Close()
	}
}

// runStream sends one request after the other as long as the connection takes new ones.
func (l *StreamLoad) runStream(id int, s *wire.Streams) {
	for n := int64(0); !l.over.Load() && s.Leaving() == nil; n++ {
		fields, content := l.plan.Request(n)
		st, err := s.Open(content == nil, fields...)
		if err == nil && content != nil {
			err = st.Send(content, true)
		}
		var m *wire.Message
		if st != nil {
			var e error
			if m, e = st.Answer(); e == nil || err == nil {
				err = e // an early answer counts, whatever became of the content
			}
		}
		var reset wire.Reset
		switch {
		case errors.Is(err, wire.ErrLeaving):
			return
		case errors.Is(err, wire.ErrRefused), errors.As(err, &reset) && reset.Code == 7: // REFUSED_STREAM
			l.again.Add(1)
			continue
		case err == nil:
			err = l.plan.Check(m)
		}
		if err != nil {
			l.fail(id, fmt.Errorf("%w; %v", err, s.Leaving()))
			if s.Err() != nil {
				return
			}
			continue
		}
		l.answers.Add(1)
		if l.plan.Pause > 0 {
			time.Sleep(l.plan.Pause)
		}
	}
}
