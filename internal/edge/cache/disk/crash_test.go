package disk

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/exchange"
)

// crashDir names the directory to a copy of this program that is going to be killed.
const crashDir = "STRAUM_TEST_CRASH_DIR"

const crashKeys = 60

func crashOptions(dir string) Options {
	return Options{Dir: dir, Size: 8 << 20, MaxObject: 4 << 20, HeadWait: 10 * time.Second, MinFree: 1e-9}
}

// writeUntilKilled stores, replaces, renews, deletes and evicts.
func writeUntilKilled(dir string) {
	s, err := New(crashOptions(dir))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	<-s.found
	fmt.Println("ready")
	for {
		k := key(fmt.Sprint(rand.IntN(crashKeys)))
		url := fmt.Sprintf("http://h/%d-%d", rand.Uint64(), rand.IntN(1<<(4+rand.IntN(17))))
		switch rand.IntN(6) {
		case 0:
			s.Delete(k)
		case 1:
			if o := s.Get(k); o != nil && o.File != nil {
				var fields exchange.Fields
				fields.Add("X-Long", string(bytes.Repeat([]byte{'x'}, rand.IntN(5000))))
				s.Put(k, o.With(freshness.Terms{}, &fields))
				o.File.Release()
			}
		case 2, 3:
			head := headed(url, nil)
			head.Length = -1
			if w := s.Create(k, head); w != nil {
				w.Write(content(url, size(url)))
				w.Commit()
			}
		default:
			s.Put(k, made(url, size(url)))
		}
	}
}

// A process that is killed at any moment leaves nothing behind that is given out wrong.
func TestKilled(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	dir := t.TempDir()
	found, failed := 0, uint64(0)
	for range rounds {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		ready := make([]byte, 6)
		if _, err := out.Read(ready); err != nil || string(ready) != "ready\n" {
			rest := make([]byte, 1000)
			n, _ := out.Read(rest)
			t.Fatalf("the child did not begin: %s%s, %v", ready, rest[:n], err)
		}
		time.Sleep(time.Duration(rand.Int64N(int64(150 * time.Millisecond)))) // at any moment
		child.Process.Kill()
		child.Wait()

		s := start(t, crashOptions(dir))
		<-s.found
		written(t, s)
		if n := len(files(t, dir)); n != s.Figures().Objects {
			t.Errorf("%d files, %d objects", n, s.Figures().Objects)
		}
		for n := range crashKeys {
			o, body, err := read(t, s, key(fmt.Sprint(n)))
			if o == nil {
				continue
			}
			found++
			if err != nil || o.Length != int64(size(o.URL)) || !bytes.Equal(body, content(o.URL, size(o.URL))) {
				t.Fatalf("%s is another, with %d bytes: %v", o.URL, len(body), err)
			}
		}
		failed += s.Figures().Failed
		stop(t, s)
	}
	if found == 0 {
		t.Error("nothing was ever found")
	}
	t.Logf("%d objects found, %d torn", found, failed)
}
