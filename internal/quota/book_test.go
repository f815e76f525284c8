package quota

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func book(t testing.TB, dir string, now func() time.Time) *Book {
	t.Helper()
	return NewBook(dir, "test", 1000, NewCalendar(time.UTC), slog.New(slog.DiscardHandler), now)
}

// byHand opens a book that nobody writes but the test.
func byHand(t testing.TB, b *Book) {
	t.Helper()
	b.open()
	t.Cleanup(b.close)
}

func atNoon() time.Time { return noon }

// used is what a book says was used in the day, by trying to use more than there is.
func used(b *Book, id ID, now time.Time) int64 {
	return ask(b.Ledger, id, 1, Limits{Day: -1, Month: -1}, now).Used[Day]
}

// What was counted is there after a restart, and in another day only what is for the month.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	first := book(t, dir, atNoon)
	first.Start()
	limits := Limits{Day: 10, Month: 20}
	for n := range uint64(100) {
		ask(first.Ledger, number(n), int64(n%7)+1, limits, noon)
	}
	first.Stop()
	second := book(t, dir, atNoon)
	second.Start()
	for n := range uint64(100) {
		if got := used(second, number(n), noon); got != int64(n%7)+1 {
			t.Errorf("%d: %d used", n, got)
		}
	}
	second.Stop()
	tomorrow := noon.AddDate(0, 0, 1)
	third := book(t, dir, func() time.Time { return tomorrow })
	third.Start()
	o := ask(third.Ledger, number(6), 3, limits, tomorrow)
	if o.Used != [periods]int64{3, 10} {
		t.Errorf("%v", o.Used)
	}
	third.Stop()
	later := noon.AddDate(0, 1, 0)
	fourth := book(t, dir, func() time.Time { return later })
	fourth.Start()
	if fourth.Len() != 0 {
		t.Errorf("%d counts of the past", fourth.Len())
	}
	fourth.Stop()
	if len(first.Attention())+len(fourth.Attention()) > 0 {
		t.Error(first.Attention(), fourth.Attention())
	}
}

// Each second is on the disk when it is over.
func TestEverySecond(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := book(t, dir, time.Now)
		b.Start()
		defer b.Stop()
		for n := range int64(5) {
			ask(b.Ledger, number(1), 1, Limits{Day: 100}, time.Now())
			time.Sleep(every + time.Millisecond)
			synctest.Wait()
			if got := inFile(t, b.file)[number(1)].used[Day]; got != n+1 {
				t.Errorf("%d in the file after %d s", got, n+1)
			}
		}
		before := b.Figures()
		time.Sleep(10 * every)
		if after := b.Figures(); after != before {
			t.Errorf("it writes though nothing changes: %+v, %+v", before, after)
		}
	})
}

func inFile(t testing.TB, file string) map[ID]record {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	records, err := parse(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// A process that is killed loses no more than was counted since the last write.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("STRAUM_TEST_QUOTA"); dir != "" {
		b := book(t, dir, atNoon)
		b.Start()
		for n := 1; ; n++ {
			ask(b.Ledger, number(1), 1, Limits{Day: 1 << 40}, noon)
			if n%1000 == 0 {
				fmt.Println("used", n, b.Figures().Written)
				time.Sleep(time.Millisecond)
			}
		}
	}
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	child.Env = append(os.Environ(), "STRAUM_TEST_QUOTA="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(time.Minute, func() { _ = child.Process.Kill() })
	defer kill.Stop()
	// How much was used when a write was first seen to be over is on the disk by the one after it.
	var usedThen, total, written, changes int64
	lines := bufio.NewScanner(out)
	for lines.Scan() && changes < 3 {
		var n, w int64
		if _, err := fmt.Sscanf(lines.Text(), "used %d %d", &n, &w); err != nil {
			continue
		}
		total = n
		if w != written {
			written = w
			if changes++; changes == 2 {
				usedThen = n
			}
		}
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	b := book(t, dir, atNoon)
	b.Start()
	defer b.Stop()
	got := used(b, number(1), noon)
	if usedThen == 0 || got < usedThen || got > total+10_000_000 {
		t.Errorf("%d counted after the kill; %d were before the last write but one, %d in all", got, usedThen, total)
	}
	t.Logf("%d of %d are there", got, total)
}

// Cut at any byte, a file gives what is whole in it, and the rest is kept to be looked at. What is no file of ours is told and kept.
func TestTorn(t *testing.T) {
	dir := t.TempDir()
	first := book(t, dir, atNoon)
	byHand(t, first)
	for range 3 {
		for n := range uint64(3) {
			ask(first.Ledger, number(n), 1, Limits{Day: 10}, noon)
		}
		first.write()
	}
	first.close()
	whole, err := os.ReadFile(first.file)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		for _, flip := range []bool{false, true} {
			content := append([]byte(nil), whole[:cut]...)
			if flip {
				if cut == len(whole) || cut%5 != 0 {
					continue
				}
				content = append([]byte(nil), whole...)
				content[cut] ^= 0x10
			}
			dir := t.TempDir()
			b := book(t, dir, atNoon)
			if err := os.WriteFile(b.file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			b.Start()
			if got := used(b, number(1), noon); got < 0 || got > 3 || got == 3 != bytes.Equal(content, whole) {
				t.Fatalf("cut at %d, flipped %v: %d used", cut, flip, got)
			}
			_, missing := os.Stat(b.file + ".bad")
			_, unread := parse(bytes.NewReader(content), int64(len(content)))
			if kept := missing == nil; kept != (unread != nil) {
				t.Fatalf("cut at %d, flipped %v: kept %v, though reading it says %v", cut, flip, kept, unread)
			}
			foreign := cut < len(magic)
			if told := len(b.Attention()) > 0; told != foreign {
				t.Fatalf("cut at %d, flipped %v: %v", cut, flip, b.Attention())
			}
			ask(b.Ledger, number(77), 1, Limits{Day: 10}, noon)
			b.Stop()
			if inFile(t, b.file)[number(77)].used[Day] != 1 {
				t.Fatalf("cut at %d: the file does not work any more", cut)
			}
		}
	}
}

// A file that grows is written anew before it is much longer than what it says.
func TestCompact(t *testing.T) {
	b := book(t, t.TempDir(), atNoon)
	byHand(t, b)
	var largest int64
	for range 50 {
		for n := range uint64(1000) {
			ask(b.Ledger, number(n), 1, Limits{Month: 1000}, noon)
		}
		b.write()
		largest = max(largest, b.size)
	}
	if largest > smallFile+int64(1000*recordSize+100) || b.Figures().Written < uint64(40*1000*recordSize) {
		t.Errorf("%d bytes, %d written", largest, b.Figures().Written)
	}
	if got := inFile(t, b.file)[number(5)].used[Month]; got != 50 {
		t.Error(got)
	}
}

// Two processes have the file one after the other, and what both counted adds up.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	limits := Limits{Day: 100, Month: 100}
	old := book(t, dir, atNoon)
	old.Start()
	ask(old.Ledger, number(1), 3, limits, noon)
	next := book(t, dir, atNoon)
	byHand(t, next)
	ask(next.Ledger, number(1), 4, limits, noon)
	ask(next.Ledger, number(2), 1, limits, noon)
	if all := next.Attention(); len(all) != 1 || !strings.Contains(all[0], "another process") {
		t.Errorf("%q", all)
	}
	old.Stop()
	next.write()
	if o := ask(next.Ledger, number(1), 1, limits, noon); o.Used != [periods]int64{8, 8} {
		t.Errorf("%v", o.Used)
	}
	if all := next.Attention(); len(all) != 0 {
		t.Errorf("%q", all)
	}
	next.write()
	if all := inFile(t, next.file); all[number(1)].used[Day] != 8 || all[number(2)].used[Day] != 1 {
		t.Errorf("%v", all)
	}
}

// A disk that takes nothing is told, and once it takes something again all is there.
func TestDiskTrouble(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	b := book(t, dir, atNoon)
	byHand(t, b)
	ask(b.Ledger, number(1), 1, Limits{Day: 10}, noon)
	if err := os.Mkdir(b.file+".new", 0o700); err != nil { // nothing can be written there
		t.Fatal(err)
	}
	b.write()
	if all := b.Attention(); len(all) != 1 || !strings.Contains(all[0], "cannot be written") || b.Figures().Failures == 0 {
		t.Errorf("%q", all)
	}
	if err := os.RemoveAll(b.file + ".new"); err != nil {
		t.Fatal(err)
	}
	b.write()
	if all := b.Attention(); len(all) != 0 || inFile(t, b.file)[number(1)].used[Day] != 1 {
		t.Errorf("%q", all)
	}
	// The next write goes behind what is there; when that fails, the file is written anew.
	_ = b.out.Close()
	ask(b.Ledger, number(2), 1, Limits{Day: 10}, noon)
	b.write()
	if len(b.Attention()) != 1 {
		t.Error("nothing is told")
	}
	b.write()
	if all := inFile(t, b.file); len(b.Attention()) != 0 || all[number(1)].used[Day] != 1 || all[number(2)].used[Day] != 1 {
		t.Errorf("%v %v", b.Attention(), all)
	}
}

// Files of quotas that are in no configuration any more go when their months are over.
func TestTidy(t *testing.T) {
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{"quota-old.counts": 36 * 24 * time.Hour, "quota-old.counts.lock": 36 * 24 * time.Hour, "quota-recent.counts": 34 * 24 * time.Hour,
		"quota-notes.txt": 100 * 24 * time.Hour, "secret": 100 * 24 * time.Hour, "quota-test.counts.lock": 100 * 24 * time.Hour} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, noon.Add(-age), noon.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	b := book(t, dir, atNoon)
	b.Start()
	b.Stop()
	var left []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if got := strings.Join(left, " "); got != "quota-notes.txt quota-recent.counts quota-test.counts quota-test.counts.lock secret" {
		t.Error(got)
	}
}

// Nothing is written where nothing may be, and Stop without Start does no harm.
func TestNoFile(t *testing.T) {
	b := book(t, "", atNoon)
	b.Start()
	b.Stop()
	b.Stop()
	never := book(t, t.TempDir(), atNoon)
	never.Stop()
	if _, err := os.Stat(never.file); err == nil {
		t.Error("it wrote")
	}
}

func FuzzParse(f *testing.F) {
	block, from := beginBlock([]byte(magic))
	r := record{id: number(1), start: [periods]int64{1, 2}, used: [periods]int64{3, 4}}
	f.Add(endBlock(r.append(block), from))
	f.Add([]byte(magic))
	f.Add([]byte(magic + "\xff\xff\xff\xff0000"))
	f.Fuzz(func(t *testing.T, content []byte) {
		records, _ := parse(bytes.NewReader(content), int64(len(content)))
		for _, r := range records {
			if !r.sound() {
				t.Errorf("%+v", r)
			}
		}
		if len(records) > len(content)/recordSize {
			t.Error(strconv.Itoa(len(records)) + " records")
		}
	})
}

// A book that counts nothing for months keeps its files, whoever tidies up meanwhile.
func TestIdleBookKeepsItsFiles(t *testing.T) {
	dir := t.TempDir()
	calendar, log := NewCalendar(time.UTC), slog.New(slog.DiscardHandler)
	idle := NewBook(dir, "idle", 1000, calendar, log, atNoon)
	byHand(t, idle)
	idle.Take(number(1), 1, &Limits{Day: 10}, calendar.At(noon), noon.Unix())
	idle.write()
	old := noon.Add(-2 * forgotten)
	for _, name := range []string{idle.file, idle.file + lockSuffix} {
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	other := NewBook(dir, "other", 1000, calendar, log, atNoon)
	other.Start()
	other.Stop()
	for _, name := range []string{idle.file, idle.file + lockSuffix} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	idle.close()
	for _, name := range []string{idle.file, idle.file + lockSuffix} {
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	third := NewBook(dir, "third", 1000, calendar, log, atNoon)
	third.Start()
	third.Stop()
	for _, name := range []string{idle.file, idle.file + lockSuffix} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is of nobody and is still there", name)
		}
	}
}
