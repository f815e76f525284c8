package accesslog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a sink that can be stuck, full, or somewhere else.
type fake struct {
	mu      sync.Mutex
	free    *sync.Cond
	stuck   bool
	waiting int // writes that are stuck
	room    int // bytes it takes before it is full; negative is no end
	cut     bool
	fresh   bool
	text    bytes.Buffer
}

func newFake() *fake {
	f := &fake{room: -1}
	f.free = sync.NewCond(&f.mu)
	return f
}

func (f *fake) open(string) (sink, error) { return f, nil }

func (f *fake) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting++
	for f.stuck {
		f.free.Wait()
	}
	f.waiting--
	if f.room >= 0 && len(p) > f.room {
		n := f.room
		f.room = 0
		f.text.Write(p[:n])
		return n, syscall.ENOSPC
	}
	if f.room >= 0 {
		f.room -= len(p)
	}
	f.text.Write(p)
	return len(p), nil
}

func (f *fake) renew() (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fresh := f.fresh
	f.fresh = false
	return fresh, nil
}

func (f *fake) intact() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.cut
}

func (f *fake) interrupt()   {}
func (f *fake) Close() error { return nil }

func (f *fake) block() { f.mu.Lock(); f.stuck = true; f.mu.Unlock() }
func (f *fake) unblock() {
	f.mu.Lock()
	f.stuck = false
	f.mu.Unlock()
	f.free.Broadcast()
}

func (f *fake) change(how func()) { f.mu.Lock(); how(); f.mu.Unlock() }

func (f *fake) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.String()
}

func begin(t *testing.T, o Options, open func(string) (sink, error)) *Log {
	t.Helper()
	l, err := start(o, open, clock.Now, clock.Wall, 5*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func finish(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// await waits until a condition holds, as long as a loaded machine may need.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// numbered makes an exchange that can be told from others by its number, and weighs about a kilobyte.
func numbered(n int) *exchange.Exchange {
	x := ordinary()
	x.ID = fmt.Sprint(n)
	x.Request.Path = "/" + strings.Repeat("x", 700)
	return x
}

// ids are the ids of the lines in text, in order; every line must be whole. Lines about losses come back as their count.
func ids(t *testing.T, text string) (ids []string, lost uint64) {
	t.Helper()
	for line := range strings.Lines(text) {
		var l struct {
			ID   string
			Lost uint64
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v in line %q", err, line)
		}
		if l.Lost > 0 {
			lost += l.Lost
			continue
		}
		ids = append(ids, l.ID)
	}
	return ids, lost
}

// wantEach holds that the lines 0 to n-1 are there, each once.
func wantEach(t *testing.T, text string, n int) {
	t.Helper()
	got, _ := ids(t, text)
	seen := map[string]int{}
	for _, id := range got {
		seen[id]++
	}
	for i := range n {
		if seen[fmt.Sprint(i)] != 1 {
			t.Errorf("line %d is there %d times", i, seen[fmt.Sprint(i)])
		}
	}
	if len(got) != n {
		t.Errorf("%d lines, want %d", len(got), n)
	}
}

func TestEveryLineArrives(t *testing.T) {
	to := newFake()
	l := begin(t, Options{Shards: 3, Buffer: 16 << 20}, to.open) // room for all, however late the writer runs
	var all sync.WaitGroup
	const each, goroutines = 300, 8
	for g := range goroutines {
		all.Go(func() {
			for i := range each {
				x := numbered(g*each + i)
				x.Conn.Shard = g
				l.Observe(x)
			}
		})
	}
	all.Wait()
	finish(t, l)
	wantEach(t, to.String(), each*goroutines)
	s := l.Stats()
	if s.Written != each*goroutines || s.Lost.Total() != 0 || s.Waiting != 0 || s.Bytes != uint64(len(to.String())) {
		t.Errorf("%+v", s)
	}
}

// TestLinesDoNotWaitForFullBatches holds that one line is written soon.
func TestLinesDoNotWaitForFullBatches(t *testing.T) {
	to := newFake()
	l := begin(t, Options{}, to.open)
	l.Observe(numbered(0))
	await(t, "the line is written", func() bool { return l.Stats().Written == 1 })
	wantEach(t, to.String(), 1)
	finish(t, l)
}

// TestObservePanics holds that a mistake elsewhere costs one line and not the log.
func TestObservePanics(t *testing.T) {
	to := newFake()
	l := begin(t, Options{}, to.open)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a fault without a kind is a mistake")
			}
		}()
		x := numbered(-1)
		x.Fault = &fault.Fault{}
		l.Observe(x)
	}()
	l.Observe(numbered(0))
	finish(t, l)
	wantEach(t, to.String(), 1)
}

// TestObservePrivate is TestLinePrivate for a log with nothing set.
func TestObservePrivate(t *testing.T) {
	to := newFake()
	l := begin(t, Options{}, to.open)
	x := ordinary()
	x.Fail(fault.New(fault.ClientGone, errors.New("read tcp 10.0.0.1:443->203.0.113.77:5123: connection reset by peer")))
	l.Observe(x)
	finish(t, l)
	if line := to.String(); strings.Contains(line, "203.0.113.77") || strings.Contains(line, "sesame") || !strings.Contains(line, "->client:5123") {
		t.Error(line)
	}
}

func TestStuckSink(t *testing.T) {
	to := newFake()
	to.block()
	l := begin(t, Options{Buffer: MinBuffer, Shards: 2}, to.open)
	observe := func(shard int, change func(*exchange.Exchange)) {
		x := numbered(0)
		x.Conn.Shard = shard
		change(x)
		l.Observe(x)
	}
	// Ordinary lines fill what they may have, and the next ones are dropped.
	sent := uint64(0)
	await(t, "ordinary lines are lost", func() bool {
		observe(int(sent%2), func(*exchange.Exchange) {})
		sent++
		return l.Stats().Lost.Slow >= 100
	})
	s := l.Stats()
	if s.Lost.Matter != 0 || s.Lost.Failing != 0 || s.Lost.Closed != 0 {
		t.Errorf("%+v", s)
	}
	if s.Waiting+s.Lost.Slow != sent {
		t.Errorf("%d waiting and %d lost of %d", s.Waiting, s.Lost.Slow, sent)
	}
	// Lines that matter still find room, in every shard.
	matter := uint64(0)
	for range 5 { // fewer than fill a batch
		for shard := range 2 {
			observe(shard, func(x *exchange.Exchange) { x.Response.Status = 500; x.ID = "matters" })
			matter++
		}
	}
	if s := l.Stats(); s.Lost.Matter != 0 || s.Waiting+s.Lost.Slow != sent+matter {
		t.Errorf("a line that matters was lost: %+v", s)
	}
	// Ordinary lines get none of that room.
	before := l.Stats()
	observe(0, func(*exchange.Exchange) {})
	observe(1, func(*exchange.Exchange) {})
	sent += 2
	if s := l.Stats(); s.Lost.Slow != before.Lost.Slow+2 || s.Waiting != before.Waiting {
		t.Errorf("an ordinary line took the room of others: %+v, before %+v", s, before)
	}
	// Nor is that room without end.
	await(t, "lines that matter are lost", func() bool {
		observe(int(matter%2), func(x *exchange.Exchange) { x.Response.Status = 500; x.ID = "matters" })
		matter++
		return l.Stats().Lost.Matter > 0
	})
	if s := l.Stats(); s.Waiting*500 > MinBuffer {
		t.Errorf("%d lines of more than 500 bytes wait in %d bytes", s.Waiting, MinBuffer)
	}
	// When the sink works again, a line tells what was lost.
	to.unblock()
	await(t, "all is written", func() bool { return l.Stats().Waiting == 0 })
	observe(0, func(*exchange.Exchange) {})
	sent++
	finish(t, l)
	got, lost := ids(t, to.String())
	kept := uint64(0)
	for _, id := range got {
		if id == "matters" {
			kept++
		}
	}
	s = l.Stats()
	if lost != s.Lost.Total() || uint64(len(got))+lost != sent+matter || kept != matter-s.Lost.Matter {
		t.Errorf("%d lines written, %d of them matter, %d told lost; sent %d and %d: %+v", len(got), kept, lost, sent, matter, s)
	}
}

// TestFullSink breaks a line off, as a full disk does, and goes on later: in the same file, in the same after someone emptied it,
// in another.
func TestFullSink(t *testing.T) {
	for _, later := range []string{"same", "emptied", "other"} {
		to := newFake()
		to.room = 1500 // one line and a half
		l := begin(t, Options{Buffer: MinBuffer}, to.open)
		n := 0
		for ; n < 5; n++ {
			l.Observe(numbered(n))
		}
		await(t, "a write fails", func() bool { return l.Stats().Failing })
		if s := l.Stats(); s.Failures == 0 || !strings.Contains(s.Error, "no space") {
			t.Errorf("%+v", s)
		}
		await(t, "lines are lost", func() bool { l.Observe(numbered(-1)); return l.Stats().Lost.Failing > 0 })
		var before string
		to.change(func() {
			to.room = -1
			to.cut, to.fresh = later == "emptied", later == "other"
			if later != "same" {
				before = to.text.String()
				to.text.Reset()
			}
		})
		l.Reopen() // or wait for the rest to be over
		await(t, "all is written", func() bool { s := l.Stats(); return s.Waiting == 0 && !s.Failing })
		finish(t, l)
		text := to.String()
		if later != "same" {
			text = before[:strings.LastIndex(before, "\n")+1] + text
		}
		got, lost := ids(t, text)
		if s := l.Stats(); lost != s.Lost.Total() || uint64(len(got)) != s.Written {
			t.Errorf("told %d lost, wrote %d: %+v", lost, len(got), s)
		}
		for i := range n {
			if got[i] != fmt.Sprint(i) {
				t.Errorf("line %d is %s", i, got[i])
			}
		}
	}
}

func TestCloseGivesUp(t *testing.T) {
	to := newFake()
	to.block()
	l := begin(t, Options{}, to.open)
	for i := range 7 {
		l.Observe(numbered(i))
	}
	await(t, "the writer is stuck", func() bool { to.mu.Lock(); defer to.mu.Unlock(); return to.waiting > 0 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := l.Close(ctx)
	if err == nil || !strings.Contains(err.Error(), "7 lines not written") {
		t.Errorf("got %v", err)
	}
	l.Observe(numbered(8))
	if s := l.Stats(); s.Lost.Closed != 1 {
		t.Errorf("%+v", s)
	}
	to.unblock()
	<-l.writer.done

	full := newFake()
	full.room = 1500
	l = begin(t, Options{}, full.open)
	for i := range 7 {
		l.Observe(numbered(i))
	}
	await(t, "a write fails", func() bool { return l.Stats().Failing })
	if err := l.Close(ctx); err == nil || !strings.Contains(err.Error(), "not written") {
		t.Errorf("got %v", err)
	}
	<-l.writer.done
	if s := l.Stats(); s.Waiting != 0 || s.Lost.Closed+s.Written != 7 {
		t.Errorf("%+v", s)
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	l := begin(t, Options{Settings: Settings{To: path}}, openSink)
	l.Observe(numbered(0))
	await(t, "the first line is written", func() bool { return l.Stats().Written == 1 })
	if is, err := os.Stat(path); err != nil || is.Mode().Perm() != 0o640 {
		t.Errorf("%v %v", is.Mode(), err)
	}
	// A rename and a signal: what comes after goes to a new file.
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	await(t, "the file is there again", func() bool { _, err := os.Stat(path); return err == nil })
	l.Observe(numbered(1))
	await(t, "the second line is written", func() bool { return l.Stats().Written == 2 })
	// A rename without a signal is noticed within a second of writing, also when someone made the new file.
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n := 2
	await(t, "the rename is noticed", func() bool {
		l.Observe(numbered(n))
		n++
		return l.Stats().Reopened == 2
	})
	// While the folder is away, lines go on to the old file.
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	written := l.Stats().Written
	l.Reopen()
	l.Observe(numbered(n))
	n++
	await(t, "the reopening failed and the line is written", func() bool {
		s := l.Stats()
		return s.Failures > 0 && s.Written > written && !s.Failing
	})
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	finish(t, l)
	var text string
	for _, suffix := range []string{".1", ".2", ""} {
		part, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Error(err)
		}
		if suffix == ".1" {
			wantEach(t, string(part), 1)
		}
		text += string(part)
	}
	wantEach(t, text, n)
}

func TestSet(t *testing.T) {
	dir := t.TempDir()
	first, other := filepath.Join(dir, "first"), filepath.Join(dir, "other")
	l := begin(t, Options{Settings: Settings{To: first}}, openSink)
	const n = 2000
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range n / 4 {
				l.Observe(numbered(g*n/4 + i))
			}
		})
	}
	for range 5 {
		if err := l.Set(Settings{To: other, Client: ClientFull}); err != nil {
			t.Error(err)
		}
		if err := l.Set(Settings{To: filepath.Join(dir, "no/such/folder")}); err == nil || !strings.Contains(err.Error(), "folder must exist") {
			t.Errorf("got %v", err)
		}
		if err := l.Set(Settings{To: first}); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
	if err := l.Set(Settings{To: Off}); err != nil {
		t.Error(err)
	}
	// What waited when the log was switched off goes nowhere; nothing else may be missing.
	l.Observe(numbered(-1))
	finish(t, l)
	a, errA := os.ReadFile(first)
	b, errB := os.ReadFile(other)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	ids(t, string(a))
	ids(t, string(b))
	if s := l.Stats(); s.Written != n || s.Lost.Total() != 0 {
		t.Errorf("%+v", s)
	}
	if err := l.Set(Settings{Client: 9}); err == nil {
		t.Error("a detail that does not exist was taken")
	}
}

// TestSetFreesWriter goes elsewhere while the writer is stuck in a pipe nobody reads.
func TestSetFreesWriter(t *testing.T) {
	dir := t.TempDir()
	pipe, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "file")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := New(Options{Settings: Settings{To: pipe}}); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("a pipe without a reader: %v", err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	l := begin(t, Options{Settings: Settings{To: pipe}, Buffer: MinBuffer}, openSink)
	n := 0
	await(t, "the pipe is full", func() bool {
		l.Observe(numbered(n))
		n++
		return l.Stats().Lost.Slow > 0
	})
	if err := l.Set(Settings{To: file}); err != nil {
		t.Fatal(err)
	}
	finish(t, l)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, lost := ids(t, string(text)); len(got) == 0 || lost != l.Stats().Lost.Total() {
		t.Errorf("%d lines, %d told lost: %+v", len(got), lost, l.Stats())
	}
}

// TestClosedPipe holds that a reader that goes away neither ends the process nor stops the requests.
func TestClosedPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	l := begin(t, Options{Settings: Settings{To: pipe}}, openSink)
	reader.Close()
	l.Observe(numbered(0))
	await(t, "the write fails", func() bool { return l.Stats().Failing })
	if s := l.Stats(); !strings.Contains(s.Error, "broken pipe") {
		t.Errorf("%+v", s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Close(ctx); err == nil {
		t.Error("no word of the line that was not written")
	}
	<-l.writer.done
}

// TestClosedStdout is TestClosedPipe for standard output, where the os package would end the process. It needs a process of its
// own.
func TestClosedStdout(t *testing.T) {
	if os.Getenv("STRAUM_TEST_CLOSED_STDOUT") != "" {
		l := begin(t, Options{}, openSink)
		l.Observe(numbered(0))
		await(t, "the write fails", func() bool { return l.Stats().Failing })
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		fmt.Fprintln(os.Stderr, l.Close(ctx))
		<-l.writer.done
		return
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	var told bytes.Buffer
	cmd := exec.Command(os.Args[0], "-test.run=^TestClosedStdout$")
	cmd.Env = append(os.Environ(), "STRAUM_TEST_CLOSED_STDOUT=yes")
	cmd.Stdout, cmd.Stderr = writer, &told
	_ = cmd.Run() // the test's own last word has nowhere to go either
	writer.Close()
	if !strings.Contains(told.String(), "closed with 1 lines not written: write stdout: broken pipe") {
		t.Errorf("the process did not outlive its standard output: %q", told.String())
	}
}

func TestOptions(t *testing.T) {
	f := func(o Options, want string) {
		t.Helper()
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(Options{Buffer: 1000}, "at least 262144 are needed")
	f(Options{Settings: Settings{Client: 7}}, "client detail 7")
	f(Options{Settings: Settings{To: "/no/such/folder/log"}}, "folder must exist")
}

// TestBudget holds that the batches of a buffer fit in it, and that a part of them is held back.
func TestBudget(t *testing.T) {
	for _, buffer := range []int{MinBuffer, MinBuffer + 1, 1 << 20, DefaultBuffer, 64 << 20} {
		d := newDepot(buffer)
		if d.total*(d.size+maxLine) > buffer || d.keep < 1 || d.keep*2 > d.total || d.size < maxLine {
			t.Errorf("%d bytes: %d batches of %d+%d, %d held back", buffer, d.total, d.size, maxLine, d.keep)
		}
	}
}
