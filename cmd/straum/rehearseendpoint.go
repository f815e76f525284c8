package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/document"
)

const (
	// mostEndpoints is how many made-up endpoints an upstream has at most.
	mostEndpoints = 64
	// mostAnswer is how long an answer of theirs may be, in bytes.
	mostAnswer = 16 << 20
	// mostDelay is how long they may take.
	mostDelay = time.Minute
)

func newRehearseEndpoint() *cobra.Command {
	c := &cobra.Command{Use: "endpoint", Short: "Endpoints that are made up", Args: noArguments}
	text := c.Flags().String("answer", "0s,1KiB", "`how long` it takes, and how long it is")
	plain := c.Flags().Int("plain", 1, "how many of HTTP/1.1")
	http2 := c.Flags().Int("http2", 0, "how many of HTTP/2 without TLS")
	leavings := c.Flags().String("sweep", "", "the `directories` of the rehearsal, to be removed in the end")
	c.RunE = func(c *cobra.Command, _ []string) error {
		answer, err := parseAnswer(*text)
		if err != nil {
			return err
		}
		var opened openedEndpoints
		for range *plain {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return failed(err)
			}
			opened.Endpoints = append(opened.Endpoints, ln.Addr().String())
			go answer.runListener(ln)
		}
		for range *http2 {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return failed(err)
			}
			opened.HTTP2 = append(opened.HTTP2, ln.Addr().String())
			go answer.runHTTP2(ln)
		}
		if err := json.NewEncoder(c.OutOrStdout()).Encode(opened); err != nil {
			return failed(err)
		}
		runUntilEnd(c.InOrStdin(), func() { sweep(filepath.SplitList(*leavings), func() { time.Sleep(100 * time.Millisecond) }) })
		return nil
	}
	return c
}

// openedEndpoints is what the process of the endpoints says once they listen.
type openedEndpoints struct {
	Endpoints []string `json:"endpoints"`
	HTTP2     []string `json:"http2"`
}

// answer is what every endpoint of a rehearsal answers to everything.
type answer struct {
	after time.Duration
	body  []byte
	whole []byte // head and body, of HTTP/1.1
}

// parseAnswer reads a time and a size: "2ms,1KiB". Either may be left out.
func parseAnswer(text string) (*answer, error) {
	a := &answer{}
	length := document.Size(1 << 10)
	for part := range strings.SplitSeq(text, ",") {
		var after document.Duration
		var size document.Size
		switch part = strings.TrimSpace(part); {
		case part == "":
		case after.ParseText(part) == nil && part != "0":
			a.after = after.Std()
		case size.ParseText(part) == nil:
			length = size
		default:
			return nil, fmt.Errorf("--answer: found %q; allowed: a time and a size, such as 2ms,1KiB", part)
		}
	}
	if a.after > mostDelay || length > mostAnswer {
		return nil, fmt.Errorf("--answer: found %q; allowed: at most %s and %d MiB", text, mostDelay, mostAnswer>>20)
	}
	a.body = made(int(length))
	a.whole = append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(a.body)), a.body...)
	return a, nil
}

// made is JSON that is about as hard to compress as answers of APIs are.
func made(length int) []byte {
	const least = len(`{"items":[]}`)
	if length < least {
		return bytes.Repeat([]byte(" "), length)
	}
	b := []byte(`{"items":[`)
	state := uint32(1)
	for i := 0; ; i++ {
		state = state*1664525 + 1013904223 // Numerical Recipes' generator: the same answer each time
		item := fmt.Sprintf(`{"id":%d,"name":"item %d","price":%d.%02d,"tag":"%x"}`, i, state%997, state>>20, state%100, state)
		if i > 0 {
			item = "," + item
		}
		if len(b)+len(item)+2 > length {
			break
		}
		b = append(b, item...)
	}
	b = append(b, "]}"...)
	return append(b, bytes.Repeat([]byte(" "), length-len(b))...)
}

// runListener answers whoever connects, until the process ends.
func (a *answer) runListener(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(10 * time.Millisecond) // descriptors ran out
			continue
		}
		go a.runConn(c)
	}
}

// runConn serves one connection. It is our own gateway that asks, so that the little of HTTP/1.1 that it sends is enough.
func (a *answer) runConn(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 16<<10)
	for {
		length, chunked, err := readHead(r)
		if err != nil {
			return
		}
		var body io.Reader = io.LimitReader(r, length)
		if chunked {
			body = httputil.NewChunkedReader(r)
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			return
		}
		if chunked { // the line that ends the trailers
			if _, err := r.ReadSlice('\n'); err != nil {
				return
			}
		}
		if a.after > 0 {
			time.Sleep(a.after)
		}
		if _, err := c.Write(a.whole); err != nil {
			return
		}
	}
}

// readHead reads the head of a request and says how its body ends.
func readHead(r *bufio.Reader) (length int64, chunked bool, err error) {
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, false, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 && !first {
			return length, chunked, nil
		}
		switch name, value, _ := bytes.Cut(line, []byte(":")); {
		case len(name) == len("content-length") && bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64); err != nil {
				return 0, false, err
			}
		case len(name) == len("transfer-encoding") && bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = true
		}
	}
}

// runHTTP2 answers by the standard library's HTTP/2.
func (a *answer) runHTTP2(ln net.Listener) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: &protocols, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if a.after > 0 {
			time.Sleep(a.after)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		_, _ = w.Write(a.body)
	})}
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintf(os.Stderr, "straum: %s stopped: %s\n", ln.Addr(), err)
	}
}
