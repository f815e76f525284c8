package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"straum.dev/straum/bench/process"
	"straum.dev/straum/bench/report"
)

// bulkBytes is the size of the one large body; a test of the bench itself takes a smaller one.
const bulkBytes = 1 << 30

// measureBulk sends one large body through the gateway and books milliseconds of processor time a GiB.
func measureBulk(transfer func(conn net.Conn, size int64) error) measure {
	return func(ctx context.Context, g *ground, p *process.Process, gateway string, o options) (report.Sample, error) {
		return metered(p, func() (float64, report.Sample, error) {
			conn, err := net.Dial("tcp", g.address(gateway))
			if err != nil {
				return 0, report.Sample{}, err
			}
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			conn.SetDeadline(time.Now().Add(time.Minute))
			began := time.Now()
			err = transfer(conn, g.bulk)
			return float64(g.bulk) / (1 << 30), report.Sample{Rate: float64(g.bulk>>20) / time.Since(began).Seconds()}, err
		}, time.Millisecond)
	}
}

func download(conn net.Conn, size int64) error {
	if _, err := fmt.Fprint(conn, "GET /plain/1g HTTP/1.1\r\nHost: bench.test\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(conn, 64<<10), nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	n, err := discard(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || n != size) {
		err = fmt.Errorf("answered %s with %d bytes, want 200 with %d", answer.Status, n, size)
	}
	return err
}

func upload(conn net.Conn, size int64) error {
	if _, err := fmt.Fprintf(conn, "POST /upload/1g HTTP/1.1\r\nHost: bench.test\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", size); err != nil {
		return err
	}
	block := make([]byte, 256<<10)
	for range size / int64(len(block)) {
		if _, err := conn.Write(block); err != nil {
			return err
		}
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s: the upstream did not get all %d bytes", answer.Status, size)
	}
	return nil
}

// discard reads with one large buffer of its own; io.Copy would take small ones from io.Discard.
func discard(body io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{io.Discard}, body, make([]byte, 256<<10))
}
