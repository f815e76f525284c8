package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"straum.dev/straum/bench/process"
	"straum.dev/straum/bench/report"
)

// stalling is a folder below that of the bench which stands still when told to, as a disk does that is about to die: bindfs mounts another folder
// there by FUSE, and while it is stopped, whoever opens, reads or writes anything waits.
type stalling struct {
	path  string
	serve *process.Process
}

func mountStalling(dir string) (*stalling, error) {
	s := &stalling{path: filepath.Join(dir, "stalling")}
	behind := filepath.Join(dir, "behind")
	for _, path := range []string{s.path, behind} {
		if err := os.Mkdir(path, 0o700); err != nil {
			return nil, err
		}
	}
	var err error
	output := filepath.Join(dir, "bindfs.out")
	if s.serve, err = process.Start(loadCore, output, nil, "bindfs", "-f", "--no-allow-other", behind, s.path); err != nil {
		return nil, err
	}
	var outside, inside syscall.Stat_t
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err := errors.Join(syscall.Stat(dir, &outside), syscall.Stat(s.path, &inside)); err == nil && inside.Dev != outside.Dev {
			return s, nil
		}
	}
	s.close()
	said, _ := os.ReadFile(output)
	return nil, fmt.Errorf("bindfs mounts nothing on %s; it said:\n%s", s.path, said)
}

func (s *stalling) close() {
	s.stall(false)
	_ = syscall.Unmount(s.path, syscall.MNT_DETACH) // it may never have been mounted
	s.serve.Stop()
}

// stall begins or ends a stall.
func (s *stalling) stall(on bool) {
	signal := syscall.SIGCONT
	if on {
		signal = syscall.SIGSTOP
	}
	_ = syscall.Kill(s.serve.Pid(), signal) // it ends with the bench alone
}

const (
	besideConns = 8
	besideEvery = 8 * time.Millisecond // a connection
	diskConns   = 4
	diskEvery   = 20 * time.Millisecond // a connection
)

// besideDisk measures a route that has nothing to do with the cache, while others keep the disk under the cache busy, or wait for it.
func besideDisk(stalled bool) measure {
	return func(ctx context.Context, g *ground, p *process.Process, gateway string, o options) (report.Sample, error) {
		ctx, cancel := context.WithTimeout(ctx, o.duration)
		defer cancel()
		var group sync.WaitGroup
		defer group.Wait()
		if stalled {
			g.stalling.stall(true)
			defer g.stalling.stall(false)
		}
		for i := range diskConns {
			group.Go(func() { runDiskClient(ctx, plain.url(g, gateway), i) })
		}
		return metered(p, func() (float64, report.Sample, error) {
			var failed atomic.Int64
			took := make([][]time.Duration, besideConns)
			var probes sync.WaitGroup
			for i := range besideConns {
				probes.Go(func() {
					var err error
					if took[i], err = probe(ctx, plain.address(g, gateway)); err != nil {
						failed.Add(1)
					}
				})
			}
			probes.Wait()
			all := slices.Sorted(slices.Values(slices.Concat(took...)))
			if len(all) == 0 {
				return 0, report.Sample{}, errors.New("not one request beside the cache was answered")
			}
			return float64(len(all)), report.Sample{
				Rate: float64(len(all)) / o.duration.Seconds(), P50: all[len(all)/2], P99: all[len(all)*99/100], Errors: failed.Load(),
			}, nil
		}, time.Microsecond)
	}
}

// runDiskClient asks for what goes to disk, in turn for something new and for what was stored. What becomes of it is none of our business.
func runDiskClient(ctx context.Context, url string, number int) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	ticks := time.NewTicker(diskEvery)
	defer ticks.Stop()
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s/cache/200000/%d-%d", url, number, i%50)
		if i%2 == 0 {
			name = fmt.Sprintf("%s/cache/200000/%d-%d", url, number, time.Now().UnixNano())
		}
		if request, err := http.NewRequestWithContext(ctx, http.MethodGet, name, nil); err == nil {
			if answer, err := client.Do(request); err == nil {
				_, _ = discard(answer.Body)
				answer.Body.Close()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

// probe asks at a steady pace over one connection until the time is over, and says how long each answer took.
func probe(ctx context.Context, address string) (took []time.Duration, err error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(conn)
	ticks := time.NewTicker(besideEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return took, nil
		case <-ticks.C:
		}
		began := time.Now()
		if _, err := fmt.Fprint(conn, "GET /plain/json HTTP/1.1\r\nHost: bench.test\r\n\r\n"); err != nil {
			return took, err
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			return took, err
		}
		if _, err := discard(answer.Body); err != nil {
			return took, err
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return took, fmt.Errorf("answered %s", answer.Status)
		}
		took = append(took, time.Since(began))
	}
}
