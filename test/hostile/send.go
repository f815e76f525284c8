package hostile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"
)

// patience is how long anything is waited for. Nothing is expected to take that long.
const patience = 30 * time.Second

// probe is sent behind a case after which the connection has to be alive, to see that the next request is taken for what it is.
const probe = "GET /probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

// Send plays one case against addr and says what was wrong, or nil.
func Send(addr string, c *Case) error {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	sent := make(chan struct{})
	go func() {
		// A gateway that has refused may close while we still send: an error tells nothing that reading does not.
		io.WriteString(conn, c.Raw)
		if c.Cut {
			conn.(*net.TCPConn).CloseWrite()
		}
		close(sent)
	}()
	defer func() { <-sent }()
	return judge(conn, c)
}

func judge(conn net.Conn, c *Case) error {
	in := bufio.NewReader(conn)
	var got []int
	methods := methodsOf(c)
	for {
		status, err := readAnswer(in, methods(len(got)))
		if err != nil {
			return ended(c, got, err)
		}
		if status < 200 {
			continue
		}
		got = append(got, status)
		if !c.Cut && len(got) == len(c.Want) && slices.Equal(got, c.Want) && !c.Refused() && !strings.Contains(c.Raw, "Connection: close") {
			if _, err := io.WriteString(conn, probe); err != nil {
				return fmt.Errorf("no further request can be sent: %w", err)
			}
			c = &Case{Name: c.Name, Raw: probe, Want: append(slices.Clone(c.Want), 200)}
			methods = func(int) string { return "GET" }
		}
		if len(got) > len(c.Want) && !c.Cut {
			return fmt.Errorf("answers %v, want %v", got, c.Want)
		}
	}
}

// ended judges what there was when the connection came to its end.
func ended(c *Case, got []int, err error) error {
	closed := err == io.EOF || errors.Is(err, syscall.ECONNRESET)
	switch {
	case !closed:
		return fmt.Errorf("answers %v and then %w, want the connection closed", got, err)
	case c.Cut:
		return nil
	case c.Closed:
		if len(got) > 0 {
			return fmt.Errorf("answers %v, want none", got)
		}
	case !slices.Equal(got, c.Want):
		return fmt.Errorf("answers %v, want %v", got, c.Want)
	}
	return nil
}

// methodsOf says by which method the answer at a place was asked for, since an answer to HEAD has no body.
func methodsOf(c *Case) func(int) string {
	first, _, _ := strings.Cut(strings.TrimLeft(c.Raw, "\r\n"), " ")
	return func(place int) string {
		if place == 0 && c.Want != nil && c.Want[0] < 400 {
			return first
		}
		return "GET"
	}
}

func readAnswer(in *bufio.Reader, method string) (int, error) {
	if _, err := in.Peek(1); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		return 0, fmt.Errorf("not an answer: %v", err)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return 0, fmt.Errorf("answer %d breaks off: %v", answer.StatusCode, err)
	}
	return answer.StatusCode, nil
}
