package caller

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
)

// A million credentials, each of a consumer of its own, fit into a process of 400 MiB with everything else.
func TestMillion(t *testing.T) {
	if testing.Short() || gateway.Race {
		t.Skip("it takes its time and its memory")
	}
	const n = 1_000_000
	key := func(i int) string { return fmt.Sprintf("a-key-of-the-tests-%07d", i) }
	path := filepath.Join(t.TempDir(), "keys")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewWriterSize(file, 1<<20)
	for i := range n {
		fmt.Fprintf(out, "api_key=%s consumer=c%07d id=k%07d plan=gold groups=partners scopes=orders:read expires=2099-12-31\n", keyHash(key(i)), i, i)
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	s := setting{routes: "  - { name: all, match: { path: /* }, upstream: app, policies: [ api_key: {} ] }\n", more: fmt.Sprintf("plans: { gold: {} }\ncredential_files: [ %q ]\n", path)}
	f := prepare(t, s)
	began := time.Now()
	f.Gateway = gateway.Start(t, f.config)
	took := time.Since(began)
	w := f.way(t, "h1", nil)
	for _, i := range []int{0, 1, n / 2, n - 1} {
		if a := w.get(t, "/", "X-Api-Key", key(i)); a.StatusCode != 200 {
			t.Errorf("key %d got %d", i, a.StatusCode)
		} else if got, want := told(f.seen.One(t)), fmt.Sprintf("x-consumer-id=c%07d x-consumer-name=c%07d x-consumer-groups=partners x-consumer-plan=gold x-auth-method=api_key x-auth-scope=orders:read", i, i); got != want {
			t.Errorf("the endpoint is told %q, want %q", got, want)
		}
	}
	w.get(t, "/", "X-Api-Key", key(n)).expect(t, "a key that there is not", 401, "unauthenticated", `ApiKey realm="api"`)
	now, most := f.Memory()
	t.Logf("with %d credentials it is ready after %s, with %d MiB resident, %d MiB at most", n, took.Round(time.Millisecond), now>>20, most>>20)
	if now > 400<<20 {
		t.Errorf("%d MiB are resident, want at most 400", now>>20)
	}
	began = time.Now()
	if err := f.Reload(f.config + "\n# again\n"); err != nil {
		t.Fatal(err)
	}
	took = time.Since(began)
	now, most = f.Memory()
	t.Logf("a reload takes %s, then %d MiB resident, %d MiB at most", took.Round(time.Millisecond), now>>20, most>>20)
}
