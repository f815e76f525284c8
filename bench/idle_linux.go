package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"straum.dev/straum/bench/handshake"
	"straum.dev/straum/bench/process"
	"straum.dev/straum/bench/report"
)

// settle is how long idle connections rest before their memory is read.
const settle = 2 * time.Second

// measureIdle is the scenario of connections that serve one request each and then stay. The gateway is a fresh one.
func measureIdle(reach reach, count func(options) int) measure {
	return func(ctx context.Context, g *ground, p *process.Process, gateway string, o options) (report.Sample, error) {
		return idle(ctx, g, p, reach.address(g, gateway), reach == encrypted, count(o))
	}
}

// idle reads how the gateway grows by its connections.
func idle(ctx context.Context, g *ground, p *process.Process, address string, encrypt bool, count int) (report.Sample, error) {
	if need := count + 1500; g.files < need {
		return report.Sample{}, fmt.Errorf("%d connections need %d open files, %d are allowed: raise the limit (ulimit -n) or lower -idle or -idletls", count, need, g.files)
	}
	before, _, err := p.RSS()
	if err != nil {
		return report.Sample{}, err
	}
	began := time.Now()
	conns, failed := openIdle(ctx, address, encrypt, count)
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	opened := time.Since(began)
	if len(conns) == 0 {
		return report.Sample{}, fmt.Errorf("not one of %d connections was served", count)
	}
	select {
	case <-time.After(settle):
	case <-ctx.Done():
		return report.Sample{}, ctx.Err()
	}
	after, peak, err := p.RSS()
	return report.Sample{
		PerConnection: float64(after-before) / float64(len(conns)),
		Growth:        after - before,
		PeakRSS:       peak,
		Errors:        int64(failed),
		Rate:          float64(len(conns)) / opened.Seconds(),
	}, err
}

// openIdle uses 64 openers and a source address for every few thousand connections, as one address has some 28,000
// ports at most.
func openIdle(ctx context.Context, address string, encrypt bool, count int) (conns []net.Conn, failed int) {
	var mu sync.Mutex
	var openers sync.WaitGroup
	numbers := make(chan int)
	for range 64 {
		openers.Go(func() {
			for n := range numbers {
				source := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+n/5000%250))}
				conn, err := serveOnce(source, address, encrypt)
				mu.Lock()
				if err != nil {
					failed++
				} else {
					conns = append(conns, conn)
				}
				mu.Unlock()
			}
		})
	}
	for n := 0; n < count && ctx.Err() == nil; n++ {
		numbers <- n
	}
	close(numbers)
	openers.Wait()
	return conns, failed
}

// serveOnce opens a connection and has one request served. Of an encrypted one, only the socket is kept: what the
// client knew of its TLS would be as much memory as all the gateway needs.
func serveOnce(source net.Addr, address string, encrypt bool) (net.Conn, error) {
	conn, err := (&net.Dialer{LocalAddr: source, Timeout: 5 * time.Second}).Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	speaker := conn
	if encrypt {
		speaker = tls.Client(conn, handshake.Config(serverName, tls.NewLRUClientSessionCache(1)))
	}
	if err := exchangeOnce(speaker); err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return conn, nil
}

func exchangeOnce(conn net.Conn) error {
	if _, err := fmt.Fprint(conn, "GET /plain/json HTTP/1.1\r\nHost: bench.test\r\n\r\n"); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(conn, 1024), nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK || answer.Close {
		return fmt.Errorf("answered %s, close=%v", answer.Status, answer.Close)
	}
	if _, err = discard(answer.Body); err != nil {
		return err
	}
	return nil
}
