package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
)

// uploadSink is the upstream that swallows large bodies and answers with how many bytes came.
type uploadSink struct{ server *http.Server }

func startUploadSink(address string) (*uploadSink, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	sink := &uploadSink{server: &http.Server{Handler: http.HandlerFunc(swallow)}}
	go sink.server.Serve(l)
	return sink, nil
}

func swallow(w http.ResponseWriter, r *http.Request) {
	// A large buffer, and no shortcut of io.Copy around it: the sink must cost its core little.
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, make([]byte, 256<<10))
	if err != nil || n != r.ContentLength {
		w.WriteHeader(http.StatusBadRequest)
	}
}

func (s *uploadSink) close() { s.server.Close() }

// syslogSink takes HAProxy's log datagrams and counts them. Those it is too slow for are lost in the kernel, as they
// would be in front of any syslog.
type syslogSink struct {
	conn  net.PacketConn
	count atomic.Int64
}

func startSyslogSink(address string) (*syslogSink, error) {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, err
	}
	s := &syslogSink{conn: conn}
	go func() {
		line := make([]byte, 2048)
		for {
			if _, _, err := conn.ReadFrom(line); err != nil {
				return // closed
			}
			s.count.Add(1)
		}
	}()
	return s, nil
}

func (s *syslogSink) lines() int64 { return s.count.Load() }
func (s *syslogSink) close()       { s.conn.Close() }

// countLines is 0 for a file that is not there.
func countLines(file string) int64 {
	f, err := os.Open(file)
	if err != nil {
		return 0
	}
	defer f.Close()
	var lines int64
	for buffer := make([]byte, 256<<10); ; {
		n, err := f.Read(buffer)
		lines += int64(bytes.Count(buffer[:n], []byte{'\n'}))
		if err != nil {
			return lines
		}
	}
}
