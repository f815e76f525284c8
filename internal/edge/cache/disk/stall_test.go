package disk

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// A disk that stalls makes misses, each after the time that was set; then it is left alone, and asked again after a while. It holds as many
// goroutines as there are readers, and the writer.
func TestStalledReads(t *testing.T) {
	o := settings(t)
	o.HeadWait = 20 * time.Millisecond
	o.Readers = 3
	o.Inline = 1
	d := &sick{}
	s := startOn(t, o, d)
	<-s.found
	for n := range 40 {
		put(t, s, number(n, 100))
	}
	d.stall()
	var all sync.WaitGroup
	for n := range 40 {
		all.Go(func() { lacks(t, s, number(n, 100)) })
	}
	all.Wait()
	if f := s.Figures(); f.Healthy || f.Why == "" || f.Misses != 40 {
		t.Fatalf("figures %+v", f)
	}
	asked, waited := d.asked.Load(), s.Figures().Waited
	for n := range 40 {
		lacks(t, s, number(n, 100)) // at once: nobody asks the disk
	}
	if now := s.Figures().Waited; now != waited {
		t.Errorf("%v were waited while the disk is left alone", now-waited)
	}
	if now := d.asked.Load(); now != asked || int(d.most.Load()) > o.Readers || d.stalled.Load() == 0 {
		t.Errorf("asked %d times, then %d; %d hang, at most %d", asked, now, d.stalled.Load(), d.most.Load())
	}
	for range 10_000 { // a stalled disk costs no goroutine a Put
		s.Put(key("x"), made("x", 10))
	}
	if most := int(d.most.Load()); most > o.Readers+1 {
		t.Errorf("%d hang", most)
	}
	d.heal()
	await(t, "the disk is asked again", func() bool {
		for n := range 40 {
			if o := s.Get(key(number(n, 100))); o != nil {
				o.File.Release()
			}
		}
		return s.Figures().Healthy
	})
	holds(t, s, number(1, 100))
}

// Many who ask for the same wait for one reading.
func TestOneReading(t *testing.T) {
	o := settings(t)
	d := &sick{}
	s := startOn(t, o, d)
	<-s.found
	put(t, s, "a-100000")
	d.stall()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { holds(t, s, "a-100000") })
	}
	i := idOf(key("a-100000"))
	await(t, "all wait", func() bool {
		sh := s.index.shard(i)
		sh.Lock()
		defer sh.Unlock()
		return sh.opening[i] != nil && sh.opening[i].waiting == 50
	})
	d.heal()
	all.Wait()
	if n := d.asked.Load(); n != 1 {
		t.Errorf("opened %d times", n)
	}
	if s.handles.Load() != 1 {
		t.Errorf("%d files open", s.handles.Load())
	}
}

// A disk that stalls under a body breaks it off; nothing the reader still uses comes into other hands.
func TestStalledBody(t *testing.T) {
	o := settings(t)
	o.BodyWait = 20 * time.Millisecond
	d := &sick{}
	s := startOn(t, o, d)
	<-s.found
	put(t, s, "a-300000")
	got := s.Get(key("a-300000"))
	var b Body
	b.Begin(got, 10, got.Length)
	want := content(got.URL, int(got.Length))[10:]
	run, err := b.Next()
	if err != nil || !bytes.Equal(run, want[:len(run)]) {
		t.Fatal(err)
	}
	d.stall()
	for range 2 {
		_, err = b.Next()
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != fault.StoreBroke || !errors.Is(err, errLate) {
			t.Fatalf("got %v", err)
		}
	}
	b.End()
	d.heal()
	b.Begin(got, 0, got.Length)
	if run, err := b.Next(); err != nil || !bytes.Equal(run, content(got.URL, int(got.Length))[:len(run)]) {
		t.Errorf("healed: %v", err)
	}
	b.End()
	got.File.Release()
	await(t, "all holds are given back", func() bool {
		sh := s.index.shard(idOf(key("a-300000")))
		sh.Lock()
		defer sh.Unlock()
		return len(sh.idle) == 1 && sh.idle[0].refs == 0
	})
}

// A writer that hangs makes the queue full; then objects are dropped, and nobody waits.
func TestStalledWrites(t *testing.T) {
	o := settings(t)
	o.Queue = 1 << 20
	d := &sick{}
	s := startOn(t, o, d)
	<-s.found
	d.stall()
	head := headed("stream-500000", nil)
	head.Length = -1
	w := s.Create(key("stream-500000"), head)
	if !w.Write(content("stream-500000", 500_000)[:300_000]) {
		t.Error("no room for a beginning")
	}
	for n := range 100 {
		s.Put(key(number(n, 30000)), made(number(n, 30000), 30000))
	}
	if w.Write(content("stream-500000", 500_000)[300_000:]) {
		t.Error("a full queue takes a body")
	}
	w.Commit()
	f := s.Figures()
	if f.Dropped < 70 || s.queue.bytes > o.Queue {
		t.Fatalf("figures %+v, %d bytes wait", f, s.queue.bytes)
	}
	holds(t, s, number(0, 30000)) // from memory
	lacks(t, s, number(99, 30000))
	d.heal()
	written(t, s)
	for n := range 100 - (int(f.Dropped) - 1) {
		holds(t, s, number(n, 30000))
	}
	lacks(t, s, "stream-500000")
	if s.queue.bytes != 0 {
		t.Errorf("%d bytes wait", s.queue.bytes)
	}
}

// Close does not wait for a disk longer than it is allowed to.
func TestCloseStalled(t *testing.T) {
	o := settings(t)
	d := &sick{}
	s := startOn(t, o, d)
	<-s.found
	d.stall()
	s.Put(key("a"), made("a", 10))
	await(t, "the writer hangs", func() bool { return d.stalled.Load() == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("closed: %v", err)
	}
	d.heal()
	s.running.Wait()
}

// What is given up at the end is not taken for whole: a body of which a part was written is not there afterwards.
func TestCloseTearsNothing(t *testing.T) {
	o := settings(t)
	d := &sick{}
	s := startOn(t, o, d)
	<-s.found
	const name = "a-1000000"
	head := headed(name, nil)
	head.Length = -1
	w := s.Create(key(name), head)
	half := content(name, size(name))
	w.Write(half[:500_000])
	await(t, "a part is written", func() bool {
		w.job.mu.Lock()
		defer w.job.mu.Unlock()
		return len(w.job.runs) == 0 && !w.job.queued
	})
	d.stall()
	w.Write(half[500_000:])
	w.Commit()
	await(t, "the writer hangs", func() bool { return d.stalled.Load() == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Close(ctx)
	d.heal()
	s.running.Wait()

	d = &sick{epoch: 1}
	s = startOn(t, o, d)
	<-s.found
	lacks(t, s, name)
	if s.Figures().Failed != 0 || len(files(t, o.Dir)) != 0 {
		t.Errorf("left: %v, %+v", files(t, o.Dir), s.Figures())
	}
}

// What is deleted or replaced at the last moment of its writing is not there afterwards.
func TestUnwantedAtTheLastMoment(t *testing.T) {
	o := settings(t)
	d := &sick{}
	s := startOn(t, o, d)
	<-s.found
	k := key("x")
	for _, last := range []func(){func() { s.Delete(k) }, func() { s.Put(k, made("y-20", 20)) }} {
		var once sync.Once
		d.fail(func(op, name string) error {
			if op == "rename" {
				once.Do(last)
			}
			return nil
		})
		s.Put(k, made("x-10", 10))
		written(t, s)
		if o := s.Get(k); o != nil && o.URL != "y-20" {
			t.Errorf("there: %s", o.URL)
		}
		await(t, "its file is removed", func() bool { return len(files(t, o.Dir)) == s.Figures().Objects })
	}
	if o := s.Get(k); o == nil {
		t.Error("what replaced it is not there")
	}
}

// What is deleted or replaced while it is read from the disk is a miss.
func TestUnwantedWhileItIsRead(t *testing.T) {
	for _, name := range []string{"a-10", "b-100000"} {
		for _, replace := range []bool{false, true} {
			o := settings(t)
			d := &sick{}
			s := startOn(t, o, d)
			<-s.found
			put(t, s, name)
			k := key(name)
			var once sync.Once
			d.fail(func(op, _ string) error {
				if op == "read" {
					once.Do(func() {
						s.Delete(k)
						if replace {
							s.Put(k, made("other-5", 5))
						}
					})
				}
				return nil
			})
			if o := s.Get(k); o != nil {
				t.Errorf("%s: there: %s", name, o.URL)
			}
			await(t, "files are closed", func() bool { return s.handles.Load() == 0 })
		}
	}
}

// Whatever fails when something is written, it is as if it had not been put, and nothing is left of it.
func TestWriteFails(t *testing.T) {
	for _, op := range []string{"create", "write", "close", "rename", "room"} {
		o := settings(t)
		d := &sick{}
		s := startOn(t, o, d)
		<-s.found
		put(t, s, "a-10", "b-100000")
		held := s.Get(key("b-100000"))
		for _, failure := range []error{errSick, syscall.ENOSPC} {
			d.fail(func(what, name string) error {
				if what == op {
					return failure
				}
				return nil
			})
			s.free.at = 0 // nothing is being written
			before := s.Figures()
			s.Put(key("a-10"), made("x", 200_000))
			written(t, s)
			head := headed("c", nil)
			head.Length = -1
			w := s.Create(key("c"), head)
			w.Write(make([]byte, 200_000))
			w.Commit()
			written(t, s)
			d.fail(nil)
			if s.Get(key("a-10")) != nil || s.Get(key("c")) != nil {
				t.Errorf("%s: there", op)
			}
			if f := s.Figures(); f.Failed == before.Failed || f.Stored != before.Stored {
				t.Errorf("%s: figures %+v", op, f)
			}
		}
		await(t, "nothing is left but what was there", func() bool { return len(files(t, o.Dir)) == s.Figures().Objects })
		held.File.Release()
		var used int64
		for _, path := range files(t, o.Dir) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			used += taken(info.Size())
		}
		if f := s.Figures(); f.Bytes != used {
			t.Errorf("%s: %d bytes of files, figures %+v", op, used, f)
		}
	}
}

// A head that cannot be written takes the object with it, since the file may be torn.
func TestRenewFails(t *testing.T) {
	for _, op := range []string{"reopen", "write", "close"} {
		o := settings(t)
		d := &sick{}
		s := startOn(t, o, d)
		<-s.found
		put(t, s, "b-100000")
		got := s.Get(key("b-100000"))
		d.fail(func(what, name string) error {
			if what == op {
				return errSick
			}
			return nil
		})
		s.Put(key("b-100000"), got.With(freshness.Terms{}, &exchange.Fields{}))
		written(t, s)
		got.File.Release()
		d.fail(nil)
		lacks(t, s, "b-100000")
		await(t, "its file is removed", func() bool { return len(files(t, o.Dir)) == 0 && s.Figures().Bytes == 0 && s.handles.Load() == 0 })
	}
}

func TestReadFails(t *testing.T) {
	o := settings(t)
	d := &sick{}
	s := startOn(t, o, d)
	<-s.found
	put(t, s, "a-10", "b-100000")
	for _, op := range []string{"open", "read"} {
		d.fail(func(what, name string) error {
			if what == op {
				return errSick
			}
			return nil
		})
		lacks(t, s, "a-10")
		lacks(t, s, "b-100000")
		d.fail(nil)
		holds(t, s, "a-10") // it was the disk's mistake, and may pass
	}
	if f := s.Figures(); f.Failed != 4 || !f.Healthy {
		t.Errorf("figures %+v", f)
	}
	got := s.Get(key("b-100000"))
	d.fail(func(what, name string) error { return errSick })
	var b Body
	b.Begin(got, 0, got.Length)
	if _, err := b.Next(); !errors.Is(err, errSick) {
		t.Errorf("got %v", err)
	}
	b.End()
	if n, err := got.File.ReadAt(make([]byte, 10), 0); n != 0 || !errors.Is(err, errSick) {
		t.Errorf("got %d, %v", n, err)
	}
	got.File.Release()
}

// When others fill the file system, objects make room for them.
func TestFreeSpace(t *testing.T) {
	o := settings(t)
	o.MinFree = 0.1
	var others int64
	const total = 1 << 20
	d := &sick{}
	var s *Store
	d.left = func() (int64, int64) { return total - others - s.index.used.Load(), total }
	s = startOn(t, o, d)
	<-s.found
	for n := range 100 {
		put(t, s, number(n, 20000))
		s.free.at = 0 // nothing is being written
		if used := s.Figures().Bytes; used > total*9/10 {
			t.Fatalf("%d bytes used", used)
		}
	}
	if f := s.Figures(); f.Objects < 30 || f.Dropped != 0 || !f.Healthy {
		t.Errorf("figures %+v", f)
	}
	others = total * 95 / 100
	s.Put(key("x"), made("x", 10))
	written(t, s)
	if f := s.Figures(); f.Objects != 0 || f.Healthy || f.Dropped != 1 {
		t.Errorf("figures %+v", f)
	}
	others = 0
	s.free.at = 0
	put(t, s, "a-10")
	holds(t, s, "a-10")
	if !s.Figures().Healthy {
		t.Errorf("figures %+v", s.Figures())
	}
}

func TestBreaker(t *testing.T) {
	var b breaker
	const s = int64(time.Second)
	now := s
	f := func(want bool, what string) {
		t.Helper()
		if got := b.allow(now); got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	for range lateMost - 1 {
		b.missed(now)
	}
	f(true, "two in a row")
	b.answered()
	for n := range lateMost {
		if opened := b.missed(now); opened != (n == lateMost-1) {
			t.Errorf("%d missed: opened %v", n, opened)
		}
	}
	f(false, "three in a row")
	b.missed(now) // asked before
	now += s - 1
	f(false, "before the pause is over")
	now++
	f(true, "a probe")
	f(false, "one probe at a time")
	if b.missed(now) {
		t.Error("opened twice")
	}
	now += 2*s - 1
	f(false, "a longer pause")
	now++
	f(true, "another probe")
	if !b.answered() || b.answered() {
		t.Error("healed not once")
	}
	f(true, "healed")
	f(true, "for all")
	for range lateMost {
		b.missed(now)
	}
	for pause := s; pause < 2*int64(maxPause); pause *= 2 {
		now += min(pause, int64(maxPause)) - 1
		f(false, "still")
		now++
		f(true, "yet another probe")
		b.missed(now)
	}
}
