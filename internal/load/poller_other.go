//go:build !linux

package load

import "errors"

type poller struct{}

func newPoller() (*poller, error) {
	return nil, errors.New("load waits for its connections with epoll, which only Linux has; run it there")
}

func (*poller) close()                                         {}
func (*poller) add(int, int) error                             { return nil }
func (*poller) ring()                                          {}
func (*poller) wait(_, _ int64, _ int, events []event) []event { return events }

// event is what happened to a socket.
type event struct {
	tag               int
	read, write, over bool
}
