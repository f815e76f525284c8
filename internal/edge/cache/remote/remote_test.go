package remote

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/cache/purge"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/keyring"
	"straum.dev/straum/internal/redis"
	"straum.dev/straum/internal/redistest"
)

var secret = bytes.Repeat([]byte("s"), keyring.MinSecret)

// ears note what is heard.
type ears struct {
	mu      sync.Mutex
	rules   []purge.Rule
	deleted map[object.Key]int64
	gaps    [][2]int64
	block   chan struct{} // not nil: hearing waits for it
}

func (e *ears) note(do func()) {
	if e.block != nil {
		<-e.block
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	do()
}

func (e *ears) Purged(r purge.Rule)            { e.note(func() { e.rules = append(e.rules, r) }) }
func (e *ears) Deleted(k object.Key, at int64) { e.note(func() { e.deleted[k] = at }) }
func (e *ears) Gap(since, until int64) {
	e.note(func() { e.gaps = append(e.gaps, [2]int64{since, until}) })
}
func (e *ears) look(is func() bool) func() bool {
	return func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return is()
	}
}

func (e *ears) has(kind purge.Kind, text string) func() bool {
	return e.look(func() bool {
		for _, r := range e.rules {
			if r.Kind == kind && r.Text == text {
				return true
			}
		}
		return false
	})
}

func (e *ears) gone(k object.Key) func() bool {
	return e.look(func() bool { return e.deleted[k] != 0 })
}

// gateway is a store with what it needs.
type gateway struct {
	*Store
	*ears
	redis *redis.Client
	log   *locked
}

func settings(addr string) redis.Settings {
	// The budget is for a machine that is busy; the tests count, they do not measure.
	return redis.Settings{Addresses: []string{addr}, Budget: 500 * time.Millisecond}
}

func gatewayOf(t testing.TB, s redis.Settings, change func(o *Options)) *gateway {
	t.Helper()
	g := &gateway{ears: &ears{deleted: map[object.Key]int64{}}, log: &locked{}}
	log := slog.New(slog.NewTextHandler(g.log, nil))
	var err error
	if g.redis, err = redis.New(s, log, time.Now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.redis.Close)
	ring, err := keyring.New(secret)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Redis: g.redis, Keys: ring, Log: log, Fleet: g.ears}
	if change != nil {
		change(&o)
	}
	g.Store = New(o)
	t.Cleanup(g.Close)
	return g
}

// locked is a log to look into.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func start(t testing.TB, addr string) *gateway { t.Helper(); return startAt(t, settings(addr)) }

func startAt(t testing.TB, s redis.Settings) *gateway {
	t.Helper()
	g := gatewayOf(t, s, nil)
	redistest.Await(t, g.InStep, "not in step")
	return g
}

var keys atomic.Uint32

func newKey() (k object.Key) {
	n := keys.Add(1)
	k[0], k[1], k[2], k[31] = byte(n), byte(n>>8), byte(n>>16), 7
	return k
}

// response is an object asked for so long ago.
func response(body string, ago time.Duration, fields ...string) *object.Object {
	var h exchange.Fields
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	at := time.Now().Add(-ago).UnixNano()
	return object.New(200, freshness.Terms{RequestTime: at, ResponseTime: at, Lifetime: int64(time.Hour), WhileRevalidating: freshness.Unsaid, IfError: freshness.Unsaid},
		&h, "https://secret.example/path?q=1", []string{"tag-1", "tag-2"}, []byte(body))
}

func text(o *object.Object) string {
	if o == nil {
		return "nothing"
	}
	var h exchange.Fields
	o.AppendFields(&h)
	var b strings.Builder
	fmt.Fprintf(&b, "%d %+v %s %v %s %d", o.Status, o.Terms, o.URL, o.Tags, o.ETag, o.Length)
	for _, f := range h.All() {
		fmt.Fprintf(&b, " %s=%s", f.Name, f.Value)
	}
	if v := o.Variants; v != nil {
		fmt.Fprintf(&b, " %+v", *v)
	}
	return b.String() + " " + string(o.Body)
}

func (g *gateway) stored(t testing.TB, k object.Key, o *object.Object) {
	t.Helper()
	before := g.Figures()
	g.Put(k, o)
	redistest.Await(t, func() bool {
		f := g.Figures()
		return f.Stored+f.Older+f.Dead+f.Large+f.Dropped+f.Failed > before.Stored+before.Older+before.Dead+before.Large+before.Dropped+before.Failed
	}, "not written")
	if f := g.Figures(); f.Stored != before.Stored+1 {
		t.Fatalf("not stored: %+v", f)
	}
}

func TestTwoGateways(t *testing.T) { twoGateways(t, settings(redistest.Start(t).Addr), nil) }

func twoGateways(t *testing.T, at redis.Settings, dump func() string) {
	a, b := startAt(t, at), startAt(t, at)
	noise := make([]byte, 3000)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	vary := object.NewVariants(&object.Variants{Nonce: 5, Sets: []object.Set{{Names: []string{"accept"}, Keys: []object.Key{newKey()}}}},
		"https://secret.example/", response("", 0).Terms)
	for _, o := range []*object.Object{
		response("", 0), response("short", 0, "ETag", `"a"`, "X", "y"), response(strings.Repeat("readable ", 5000), 0, "Content-Type", "text/plain"),
		response(string(noise), 0), response(strings.Repeat("readable ", 500), 0, "Content-Encoding", "br"), vary,
	} {
		k := newKey()
		if got := b.Get(k); got != nil {
			t.Fatal(text(got))
		}
		a.stored(t, k, o)
		if got := b.Get(k); text(got) != text(o) {
			t.Errorf("got %.300s\nwant %.300s", text(got), text(o))
		}
	}
	f := a.Figures()
	if f.BytesRaw < 45000+3000+4500 || f.BytesOut > 12000 || f.BytesOut < 3000+4500 {
		t.Errorf("%d bytes became %d", f.BytesRaw, f.BytesOut)
	}
	if f := b.Figures(); f.Hits != 6 || f.Misses != 6 || f.Damaged+f.Failed+f.Skipped != 0 {
		t.Errorf("%+v", f)
	}
	if dump != nil {
		all := dump()
		if !strings.Contains(all, "cache:1:") {
			t.Error("nothing to see")
		}
		for _, word := range []string{"secret", "readable", "tag-1"} {
			if strings.Contains(all, word) {
				t.Errorf("%s can be read in Redis", word)
			}
		}
	}

	k := newKey()
	a.stored(t, k, response("x", 0))
	a.Delete(k)
	if a.Get(k) != nil {
		t.Error("there after Delete")
	}
	redistest.Await(t, b.gone(k), "the other is not told")
	redistest.Await(t, func() bool { return a.Figures().Owed == 0 }, "owed for ever")
	if a.Get(k) != nil || b.Get(k) != nil || a.ears.gone(k)() {
		t.Error("there, or told to itself")
	}
	hourAgo := time.Now().Add(-time.Hour).UnixNano()
	if err := b.Tell(purge.Rule{Kind: purge.Tag, Text: "tag-1", Soft: true, At: hourAgo}); err != nil {
		t.Fatal(err)
	}
	redistest.Await(t, a.has(purge.Tag, "tag-1"), "the other is not told")
	a.mu.Lock()
	if r := a.rules[0]; !r.Soft || r.At < time.Now().Add(-time.Minute).UnixNano() {
		t.Errorf("%+v", r) // what was asked for until it was heard is meant
	}
	a.mu.Unlock()
	late := startAt(t, at)
	if !late.has(purge.Tag, "tag-1")() || late.rules[0].At != hourAgo || len(late.gaps) != 1 || late.gaps[0][0] != 0 {
		t.Errorf("%+v %v", late.rules, late.gaps)
	}
	token, mine := a.Lock(k, 0, time.Minute)
	if _, second := b.Lock(k, 0, time.Minute); !mine || second || token.text == "" {
		t.Error("two hold a lock")
	}
	a.Unlock(token)
	redistest.Await(t, func() bool { _, mine := b.Lock(k, 0, time.Minute); return mine }, "not given back")
}

// What stands in Redis tells nothing to who has not the secret.
func TestUnreadable(t *testing.T) {
	r := redistest.Start(t)
	twoGateways(t, settings(r.Addr), func() string {
		var all strings.Builder
		for _, k := range strings.Fields(r.Do("KEYS", "*")) {
			all.WriteString(k + " " + r.Do("--raw", "GET", k) + "\n")
		}
		return all.String()
	})
}

// Rights are what an access list in Redis has to give the cache.
const rights = "+@connection +evalsha +eval +get +getrange +set +del +exists +publish +subscribe +unsubscribe +pexpire +incr +hget +hset +hdel +zadd +zrem +zcard +zrange +zrangebyscore"

func TestRights(t *testing.T) {
	r := redistest.Start(t)
	r.Do(append([]string{"ACL", "SETUSER", "cache", "on", ">pw", "resetkeys", "~straum:cache:*", "resetchannels", "&straum:cache:*", "-@all"}, strings.Fields(rights)...)...)
	at := settings(r.Addr)
	at.Username, at.Password = "cache", "pw"
	twoGateways(t, at, nil)
}

func TestValkey(t *testing.T) {
	valkey, err := exec.LookPath("valkey-server")
	if err != nil {
		t.Skip("valkey-server is not installed")
	}
	dir := t.TempDir()
	if err := os.Symlink(valkey, filepath.Join(dir, "redis-server")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	twoGateways(t, settings(redistest.Start(t).Addr), nil)
}

// In a cluster keys of one script are of one slot, and a channel is heard on each server.
func TestCluster(t *testing.T) {
	var servers []*redistest.Server
	for i := range 2 {
		bus := redistest.FreeAddress(t)[len("127.0.0.1:"):]
		s := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-port", bus)
		s.Do("CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(i*8000), fmt.Sprint(i*8384+7999))
		s.Do("CLUSTER", "SET-CONFIG-EPOCH", fmt.Sprint(i+1))
		if servers = append(servers, s); i == 1 {
			s.Do("CLUSTER", "MEET", "127.0.0.1", servers[0].Port(), strings.Split(strings.Split(servers[0].Do("CLUSTER", "NODES"), "@")[1], " ")[0])
		}
	}
	for _, s := range servers {
		redistest.Await(t, func() bool {
			info := s.Do("CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:2")
		}, "no cluster")
	}
	twoGateways(t, redis.Settings{Addresses: []string{servers[0].Addr}, Mode: redis.Cluster, Budget: 500 * time.Millisecond}, nil)
	for _, s := range servers {
		if s.Do("DBSIZE") == "0" {
			t.Error("a server without a key; the test shows little")
		}
	}
}

// What was asked for earlier takes no later one's place, nor that of a deletion; a deletion leaves what is later alone.
func TestOrder(t *testing.T) {
	r := redistest.Start(t)
	a, b := start(t, r.Addr), start(t, r.Addr)
	k := newKey()
	older, newer := response("older", time.Minute), response("newer", time.Second)
	a.stored(t, k, newer)
	b.Put(k, older)
	redistest.Await(t, func() bool { return b.Figures().Older == 1 }, "written")
	if got := a.Get(k); got == nil || string(got.Body) != "newer" {
		t.Error(text(got))
	}
	a.stored(t, k, newer) // again

	a.delete(k, newer.Terms.RequestTime-1)
	if b.Get(k) == nil {
		t.Error("a deletion of before took it")
	}
	a.delete(k, newer.Terms.RequestTime)
	if b.Get(k) != nil {
		t.Error("there after a deletion")
	}
	b.Put(k, newer)
	redistest.Await(t, func() bool { return b.Figures().Older == 2 }, "written over a deletion")
	b.stored(t, k, response("newest", 0))

	// Whoever claims to come from the future does not keep others out.
	name := a.redis.Key(a.names.name(k))
	r.Do("SET", name, heading(isDeletion, 1<<62))
	a.stored(t, k, newer)
	if got := b.Get(k); got == nil || string(got.Body) != "newer" {
		t.Error(text(got))
	}
}

func TestTimeToLive(t *testing.T) {
	r := redistest.Start(t)
	a := start(t, r.Addr)
	now := time.Now().UnixNano()
	f := func(o *object.Object, want time.Duration) {
		t.Helper()
		k := newKey()
		if got := time.Duration(deadAt(o) - now); want < MaxAge && (got < want-time.Minute || got > want+time.Minute) {
			t.Errorf("dead in %v, want %v", got, want)
		}
		a.stored(t, k, o)
		ttl, _ := time.ParseDuration(r.Do("PTTL", a.redis.Key(a.names.name(k))) + "ms")
		if ttl < want-time.Minute || ttl > want {
			t.Errorf("lives %v, want %v", ttl, want)
		}
	}
	f(response("", 0), time.Hour)
	o := response("", 10*time.Minute)
	o.Terms.WhileRevalidating, o.Terms.IfError = int64(time.Hour), int64(2*time.Hour)
	f(o, 3*time.Hour-10*time.Minute)
	f(response("", 0, "ETag", `"x"`), 2*time.Hour)
	o.Terms.IfError, o.Terms.Lifetime = 1<<63-1, 1<<63-1
	f(o, MaxAge)
	dead := response("", 2*time.Hour)
	a.Put(newKey(), dead)
	redistest.Await(t, func() bool { return a.Figures().Dead == 1 }, "written")
	if r.Do("DBSIZE") != "4" {
		t.Error(r.Do("KEYS", "*"))
	}
}

func TestTooLarge(t *testing.T) {
	r := redistest.Start(t)
	a := gatewayOf(t, settings(r.Addr), func(o *Options) { o.MaxObject = 1000 })
	redistest.Await(t, a.InStep, "not in step")
	a.Put(newKey(), response(strings.Repeat("x", 1001), 0))
	a.Put(newKey(), response("x", 0, "A", strings.Repeat("y", maxHead+2000)))
	redistest.Await(t, func() bool { return a.Figures().Large == 2 }, "not counted")
	k := newKey()
	a.stored(t, k, response(strings.Repeat("x", 1000), 0))
	if a.Get(k) == nil {
		t.Error("not found")
	}
	a.queued.Store(maxQueued)
	a.Put(newKey(), response("x", 0))
	k = newKey()
	a.Delete(k)
	if f := a.Figures(); f.Dropped != 1 || f.Owed != 1 {
		t.Errorf("%+v", f)
	}
	a.queued.Store(0)
	redistest.Await(t, func() bool { return a.Figures().Owed == 0 }, "a deletion was lost with the queue full")
}

// Whatever somebody puts into Redis, it is no answer, it costs little, and it is taken away.
func TestHostile(t *testing.T) {
	r := redistest.Start(t)
	a := gatewayOf(t, settings(r.Addr), func(o *Options) { o.MaxObject = 100 << 10 })
	redistest.Await(t, a.InStep, "not in step")
	put := func(k object.Key, value []byte) {
		t.Helper()
		if err := a.redis.Set(a.names.name(k), value, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	sealed := func(k object.Key, packed []byte) []byte {
		head := heading(isObject, 5)
		return a.names.seal([]byte(head), packed, head, a.names.name(k))
	}
	good := newKey()
	a.stored(t, good, response("good", 0))
	value, err := a.redis.GetUpTo(a.names.name(good), 1<<20)
	if err != nil || len(value) < 100 {
		t.Fatal(err)
	}
	bomb := a.coder.encoders.New().(interface {
		EncodeAll(src, dst []byte) []byte
	}).EncodeAll(make([]byte, 64<<20), []byte{zipped, 0, 0, 200, 0})
	if len(bomb) > 100<<10 {
		t.Fatal("no bomb")
	}
	o := response("x", 0)
	lying := o.Encode([]byte{plain, 0, 0, 0, 0})
	lying[4], lying[3] = byte(len(lying)-packHeading), byte((len(lying)-packHeading)>>8) // without its body
	moved := newKey()
	bad := map[string][]byte{
		"empty heading": []byte("1"), "noise": bytes.Repeat([]byte("z"), 500), "other version": append([]byte("2"), value[1:]...), "cut": value[:len(value)-1],
		"heading alone": value[:headingLength], "longer": append(bytes.Clone(value), 0), "huge": make([]byte, 5<<20), "kind": append([]byte("1x"), value[2:]...),
		"time": append([]byte("1o00000000000000000005"), value[headingLength:]...), "of another key": value,
		"bomb": sealed(moved, bomb), "no pack": sealed(moved, nil), "claims too much": sealed(moved, []byte{plain, 255, 255, 255, 255}),
		"claims less": sealed(moved, []byte{plain, 0, 0, 0, 1, 5, 5, 5}), "unknown way": sealed(moved, []byte{7, 0, 0, 0, 1, 5}), "no object": sealed(moved, []byte{plain, 0, 0, 0, 1, 5}),
		"no zstd": sealed(moved, []byte{zipped, 0, 0, 0, 1, 5}), "no body": sealed(moved, lying), "time differs": sealed(moved, a.coder.pack(o)),
	}
	n := uint64(0)
	for name, value := range bad {
		put(moved, value)
		if got := a.Get(moved); got != nil {
			t.Errorf("%s is taken for %s", name, text(got))
		}
		n++
		if f := a.Figures(); f.Damaged != n {
			t.Errorf("%s: %d damaged, want %d", name, f.Damaged, n)
		}
		redistest.Await(t, func() bool { v, _ := a.redis.GetUpTo(a.names.name(moved), 10); return len(v) == 0 }, name+" stays")
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := a.coder.unpack(bomb, a.max); err == nil {
		t.Error("a bomb is taken")
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
		t.Errorf("a bomb took %d bytes", took)
	}
	for i := range value {
		flipped := bytes.Clone(value)
		flipped[i] ^= 4
		if o, deleted := a.read(a.names.name(good), flipped); o != nil || deleted && i != 1 {
			t.Fatalf("taken though byte %d differs", i)
		}
	}
	name := a.redis.Key(a.names.name(moved))
	r.Do("LPUSH", name, "x")
	if a.Get(moved) != nil || a.Figures().Damaged != n+1 {
		t.Error("a list")
	}
	redistest.Await(t, func() bool { return r.Do("EXISTS", name) == "0" }, "a list stays")
	r.Do("LPUSH", name, "x")
	a.stored(t, moved, response("over it", 0))
	r.Do("DEL", name)
	r.Do("LPUSH", name+":lock", "x")
	if _, mine := a.Lock(moved, 0, time.Minute); mine {
		t.Error("something lies in the lock's place; it is as good as locked")
	}
	if got := a.Get(good); got == nil || string(got.Body) != "good" {
		t.Error(text(got))
	}

	// The channel and the log.
	b := start(t, r.Addr)
	r.Do("PUBLISH", "straum:"+channel, "all of it")
	r.Do("PUBLISH", "straum:"+channel, "")
	for _, where := range []string{logKey, textKey} {
		if where == logKey {
			r.Do("ZADD", "straum:"+where, "77", "x")
		} else {
			r.Do("HSET", "straum:"+where, "x", "purge all, please")
		}
	}
	r.Do("SET", "straum:"+floorKey, "99999999999999999999")
	redistest.Await(t, func() bool { return b.Figures().Foreign == 2 }, "not counted")
	late := start(t, r.Addr)
	if len(late.rules) != 0 || late.Figures().Foreign != 1 || len(b.rules) != 0 {
		t.Errorf("%v", late.rules)
	}
	r.Do("SET", "straum:"+logKey, "no set")
	if err := b.Tell(purge.Rule{Kind: purge.All, At: time.Now().UnixNano()}); err == nil || b.Figures().Owed != 1 {
		t.Error("told nobody, and all is well")
	}
	r.Do("DEL", "straum:"+logKey)
	redistest.Await(t, late.has(purge.All, ""), "what could not be told at first is not told later")
}

// Gateways with another secret have nothing to do with each other.
func TestOtherSecret(t *testing.T) {
	r := redistest.Start(t)
	a := start(t, r.Addr)
	b := gatewayOf(t, settings(r.Addr), func(o *Options) { o.Keys = keyring.Random() })
	redistest.Await(t, b.InStep, "not in step")
	k := newKey()
	a.stored(t, k, response("x", 0))
	if b.Get(k) != nil {
		t.Error("found")
	}
	a.Delete(k)
	redistest.Await(t, func() bool { return b.Figures().Foreign == 1 }, "not counted")
	if b.gone(k)() || !strings.Contains(b.log.String(), "need the same secret") {
		t.Error("heard, or not said")
	}
}

// Redis stops and comes back empty. Meanwhile nobody waits, and nothing that was decided is lost.
func TestOutage(t *testing.T) {
	r := redistest.Start(t)
	a, b := start(t, r.Addr), start(t, r.Addr)
	k, gone := newKey(), newKey()
	a.stored(t, k, response("x", 0))
	r.Kill()
	redistest.Await(t, func() bool { return !a.InStep() && !b.InStep() }, "nobody misses it")
	redistest.Await(t, func() bool { _ = a.Get(k); return !a.redis.Available() && !b.redis.Available() }, "it is still asked")
	before, commands := a.Figures(), a.redis.Figures()
	for range 1000 {
		if a.Get(k) != nil {
			t.Fatal("found")
		}
		a.Put(k, response("y", 0))
		if _, mine := a.Lock(k, 0, time.Minute); !mine {
			t.Fatal("a lock without Redis")
		}
		if a.Await(k, 0, clock.Now()+int64(time.Hour), func() bool { return false }) != nil {
			t.Fatal("something came")
		}
	}
	a.Delete(gone)
	if err := a.Tell(purge.Rule{Kind: purge.Tag, Text: "late", At: time.Now().UnixNano()}); err == nil {
		t.Error("told nobody, and all is well")
	}
	f := a.Figures()
	if f.Skipped-before.Skipped != 1000 || f.Dropped-before.Dropped != 1000 || f.Owed != 2 || a.redis.Figures().Commands != commands.Commands {
		t.Errorf("%+v\n%+v", f, a.redis.Figures())
	}
	r.Start()
	redistest.Await(t, b.has(purge.Tag, "late"), "the rule was lost")
	redistest.Await(t, b.gone(gone), "the deletion was lost")
	redistest.Await(t, func() bool { return a.InStep() && b.InStep() && a.Figures().Owed == 0 }, "not in step again")
	if err := b.Tell(purge.Rule{Kind: purge.Tag, Text: "again", At: time.Now().UnixNano()}); err != nil {
		t.Error(err)
	}
	redistest.Await(t, a.has(purge.Tag, "again"), "not heard after a new connection")
	b.mu.Lock()
	if len(b.gaps) < 2 || b.gaps[1][0] == 0 || b.gaps[1][1] <= b.gaps[1][0] {
		t.Error(b.gaps)
	}
	b.mu.Unlock()
	a.stored(t, k, response("z", 0))
	if got := b.Get(k); got == nil || string(got.Body) != "z" {
		t.Error(text(got))
	}
}

// Redis hangs. A few calls wait for the budget; then nobody does.
func TestPause(t *testing.T) {
	r := redistest.Start(t)
	a := gatewayOf(t, redis.Settings{Addresses: []string{r.Addr}, Budget: 50 * time.Millisecond}, nil)
	redistest.Await(t, a.InStep, "not in step")
	k := newKey()
	a.stored(t, k, response("x", 0))
	before := a.redis.Figures()
	r.Pause()
	for range 500 {
		if a.Get(k) != nil {
			t.Fatal("found")
		}
	}
	if f := a.redis.Figures(); f.Timeouts-before.Timeouts > 5 || a.Available() {
		t.Errorf("%d waited for the budget: %+v", f.Timeouts-before.Timeouts, f)
	}
	redistest.Await(t, func() bool { return !a.InStep() }, "a channel that hangs is not missed")
	r.Resume()
	redistest.Await(t, func() bool { return a.InStep() && a.Get(k) != nil }, "not found again")
	if len(a.gaps) != 2 {
		t.Error(a.gaps)
	}
}

func (g *gateway) Available() bool { return g.redis.Available() }

func TestFlush(t *testing.T) {
	r := redistest.Start(t)
	a, b := start(t, r.Addr), start(t, r.Addr)
	k := newKey()
	a.stored(t, k, response("x", 0))
	r.Do("FLUSHALL")
	r.Do("SCRIPT", "FLUSH")
	if b.Get(k) != nil {
		t.Error("found")
	}
	b.stored(t, k, response("y", 0))
	if a.Get(k) == nil || !a.InStep() || !b.InStep() {
		t.Error("lost")
	}
}

// The log has room for so many rules. What goes is made up for by the floor; who comes later takes all before it for purged.
func TestLogFull(t *testing.T) {
	r := redistest.Start(t)
	a := start(t, r.Addr)
	at := time.Now().Add(-time.Hour).UnixNano()
	for i := range maxLog + 10 {
		if err := a.Tell(purge.Rule{Kind: purge.Tag, Text: fmt.Sprint("t", i), At: at + int64(i/300)*int64(time.Millisecond)}); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 { // the same rule again takes no room
		if err := a.Tell(purge.Rule{Kind: purge.Tag, Text: "t500", At: at + int64(time.Minute)}); err != nil {
			t.Fatal(err)
		}
	}
	if r.Do("ZCARD", "straum:"+logKey) != fmt.Sprint(maxLog) || r.Do("HLEN", "straum:"+textKey) != fmt.Sprint(maxLog) {
		t.Error(r.Do("ZCARD", "straum:"+logKey))
	}
	b := start(t, r.Addr)
	var list purge.List
	tags := map[string]bool{}
	for _, rule := range b.rules {
		list.Add(rule)
		tags[rule.Text] = true
	}
	if len(tags) != maxLog+1 || b.rules[0].Kind != purge.All || b.rules[0].At < at || b.rules[0].At > at+int64(time.Millisecond) {
		t.Errorf("%d rules, the first %+v", len(tags), b.rules[0])
	}
	for i := range maxLog + 10 {
		if _, ok := list.Find("https://a/", []string{fmt.Sprint("t", i)}, at); !ok {
			t.Errorf("rule %d is lost", i)
		}
	}
	// What nobody needs any more goes.
	r.Do("FLUSHALL")
	for i := range 3 {
		if err := a.Tell(purge.Rule{Kind: purge.Tag, Text: fmt.Sprint("t", i), At: time.Now().Add(time.Duration(i-2) * logLife).UnixNano()}); err != nil {
			t.Fatal(err)
		}
	}
	if r.Do("ZCARD", "straum:"+logKey) != "1" || r.Do("HLEN", "straum:"+textKey) != "1" || r.Do("EXISTS", "straum:"+floorKey) != "0" {
		t.Error("rules stay that nobody needs")
	}
	if ttl, _ := time.ParseDuration(r.Do("PTTL", "straum:"+textKey) + "ms"); ttl < logLife-time.Hour || ttl > logLife {
		t.Error(ttl)
	}
}

// Fifty ask on two gateways at once: one asks the endpoint, all have its answer.
func TestLock(t *testing.T) {
	r := redistest.Start(t)
	gateways := []*gateway{start(t, r.Addr), start(t, r.Addr)}
	k := newKey()
	var asked, had atomic.Int32
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			g := gateways[i%2]
			o := g.Get(k)
			if o == nil {
				token, mine := g.Lock(k, 0, time.Minute)
				if mine {
					asked.Add(1)
					time.Sleep(60 * time.Millisecond) // the endpoint takes its time
					o = response("answer", 0)
					g.Put(k, o)
					g.Unlock(token)
				} else {
					o = g.Await(k, 0, clock.Now()+int64(time.Minute), func() bool { return false })
				}
			}
			if o != nil && string(o.Body) == "answer" {
				had.Add(1)
			}
		})
	}
	wg.Wait()
	if asked.Load() != 1 || had.Load() != 50 {
		t.Errorf("%d asked, %d had the answer", asked.Load(), had.Load())
	}
	f, g := gateways[0].Figures(), gateways[1].Figures()
	if f.Locks+g.Locks != 1 || f.Awaited+g.Awaited == 0 || f.Failed+g.Failed != 0 {
		t.Errorf("%+v %+v", f, g)
	}
}

// Who waits for a lock goes on when it is given back with nothing, runs out, or the client leaves; and does not take what it has already for news.
func TestAwait(t *testing.T) {
	r := redistest.Start(t)
	a, b := start(t, r.Addr), start(t, r.Addr)
	k := newKey()
	stale := response("stale", time.Minute)
	a.stored(t, k, stale)
	since := stale.Terms.RequestTime
	far := func() int64 { return clock.Now() + int64(time.Minute) }
	stay := func() bool { return false }

	if _, mine := b.Lock(k, since-1, time.Minute); mine {
		t.Error("a lock for what is there")
	}
	token, mine := a.Lock(k, since, time.Minute)
	if _, again := b.Lock(k, since, time.Minute); !mine || again {
		t.Fatal("not one")
	}
	if o := b.Await(k, since-1, far(), stay); o == nil {
		t.Error("what is there is not found")
	}
	polls := 0
	if o := b.Await(k, since, far(), func() bool { polls++; return polls > 3 }); o != nil || polls != 4 {
		t.Error(text(o), polls)
	}
	if o := b.Await(k, since, clock.Now(), stay); o != nil {
		t.Error("the time is over")
	}
	b.Unlock(Token{k, "not mine"})
	redistest.Await(t, func() bool { return b.Figures().Queued == 0 }, "queued for ever")
	if r.Do("EXISTS", b.redis.Key(lockOf(b.names.name(k)))) != "1" {
		t.Error("somebody else's lock was given back")
	}
	a.Unlock(token)
	if o := b.Await(k, since, far(), stay); o != nil {
		t.Error(text(o))
	}
	// The holder dies.
	if _, mine := a.Lock(k, since, 20*time.Millisecond); !mine {
		t.Fatal("not given back")
	}
	if o := b.Await(k, since, far(), stay); o != nil {
		t.Error(text(o))
	}
	// The news comes before the lock is given back.
	token, _ = a.Lock(k, since, time.Minute)
	a.Put(k, response("fresh", 0))
	a.Unlock(token)
	if o := b.Await(k, since, far(), stay); o == nil || string(o.Body) != "fresh" {
		t.Error(text(o))
	}
}

// A gateway that cannot follow what it hears knows that, and catches up.
func TestMissed(t *testing.T) {
	r := redistest.Start(t)
	a := start(t, r.Addr)
	open := make(chan struct{})
	b := gatewayOf(t, settings(r.Addr), func(o *Options) { o.Fleet.(*ears).block = open })
	go func() { open <- struct{}{} }() // its first gap
	redistest.Await(t, b.InStep, "not in step")
	for range maxMail + 100 {
		if err := a.redisPublish(); err != nil {
			t.Fatal(err)
		}
	}
	redistest.Await(t, func() bool { return b.Figures().Missed > 0 && !b.InStep() }, "not noticed")
	close(open)
	redistest.Await(t, b.InStep, "not in step again")
	b.mu.Lock()
	defer b.mu.Unlock()
	// Whoever is busy may have to catch up more than once, always from where it lost step.
	if len(b.gaps) < 2 {
		t.Fatal(b.gaps)
	}
	for _, gap := range b.gaps[2:] {
		if gap[0] != b.gaps[1][0] {
			t.Error(b.gaps)
		}
	}
}

// What is missed while the log is read has it read again.
func TestMissedMeanwhile(t *testing.T) {
	r := redistest.Start(t)
	e := &interrupter{ears: &ears{deleted: map[object.Key]int64{}}, missed: make(chan func(), 1)}
	g := gatewayOf(t, settings(r.Addr), func(o *Options) { o.Fleet = e })
	e.missed <- g.fleet.behind
	redistest.Await(t, e.look(func() bool { return len(e.gaps) == 2 }), "not read again")
	redistest.Await(t, g.InStep, "not in step")
	if n := g.Figures().CaughtUp; n != 1 {
		t.Errorf("caught up %d times", n)
	}
}

// interrupter has something missed at its first gap.
type interrupter struct {
	*ears
	missed chan func()
	once   sync.Once
}

func (i *interrupter) Gap(since, until int64) {
	i.once.Do(func() { (<-i.missed)() })
	i.ears.Gap(since, until)
}

func (g *gateway) redisPublish() error {
	_, err := g.redis.Run(redis.NewScript(`return redis.call('PUBLISH', ARGV[1], ARGV[2])`), []string{place + "x"},
		[]string{g.redis.Key(channel), string(g.fleet.deletion(object.Key{1}, 1))})
	return err
}

// More deletions than can be remembered purge everything, here at once and for the fleet when Redis answers.
func TestForgotten(t *testing.T) {
	r := redistest.Start(t)
	a, b := start(t, r.Addr), start(t, r.Addr)
	k := newKey()
	a.stored(t, k, response("x", 0))
	a.queued.Store(maxQueued) // nothing is carried out
	for i := range maxOwed + 1 {
		a.Delete(object.Key{byte(i), byte(i >> 8), byte(i >> 16), 9})
	}
	if a.Get(k) != nil || a.Figures().Forgotten != 1 {
		t.Error("found")
	}
	redistest.Await(t, b.has(purge.All, ""), "the fleet is not told")
	if !strings.Contains(a.log.String(), "whole fleet") {
		t.Error("not said")
	}
	a.queued.Store(0)
	a.stored(t, k, response("y", -time.Second))
	if a.Get(k) == nil {
		t.Error("nothing is found any more")
	}
}

// A closed store leaves nothing behind, whatever Redis was doing.
func TestClose(t *testing.T) {
	r := redistest.Start(t)
	before := goleak.IgnoreCurrent()
	a := start(t, r.Addr)
	a.stored(t, newKey(), response("x", 0))
	a.Close()
	a.redis.Close()
	goleak.VerifyNone(t, before)
	a = start(t, r.Addr)
	r.Pause()
	a.Put(newKey(), response("x", 0))
	a.Delete(newKey())
	a.Close()
	a.redis.Close()
	r.Resume()
	redistest.Await(t, func() bool { return goleak.Find(before) == nil }, "goroutines stay")
}

func BenchmarkGet(b *testing.B) {
	r := redistest.Start(b)
	g := start(b, r.Addr)
	for _, size := range []int{1 << 10, 64 << 10} {
		k := newKey()
		g.stored(b, k, response(strings.Repeat("{\"name\": \"value\", \"n\": 123},", size/28), 0))
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if g.Get(k) == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkPack(b *testing.B) {
	c := newCoder()
	o := response(strings.Repeat("{\"name\": \"value\", \"n\": 123},", 64<<10/28), 0)
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	for b.Loop() {
		c.pack(o)
	}
}
