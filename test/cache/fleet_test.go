package cache

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"straum.dev/straum/internal/redistest"
	"straum.dev/straum/test/gateway"
)

// fleet are two gateways with one Redis.
type fleet struct {
	*origin
	redis *redistest.Server
	a, b  *front
}

func openFleet(t *testing.T) *fleet {
	t.Helper()
	fl := &fleet{redis: redistest.Start(t), origin: newOrigin(t, "max-age=3600")}
	more := fmt.Sprintf("secret: \"the-secret-of-the-whole-fleet-of-gateways\"\nredis: { addresses: [%q], budget: 50ms }\ncache: { memory: 16MiB, redis: {} }", fl.redis.Addr)
	fl.a = open(t, setting{endpoint: fl.addr, more: more})
	fl.b = prepare(t, setting{endpoint: fl.addr, more: more})
	fl.b.Gateway = gateway.Start(t, fl.b.config)
	return fl
}

// ask asks a gateway for a path of the fleet's one name.
func (fl *fleet) ask(t *testing.T, f *front, path string) answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, f.url(path), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "api.example"
	got, err := f.do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := whole(got); err != nil {
		t.Fatalf("%s: %v\n%v", path, err, got.header)
	}
	return got
}

// TestFleet: what one gateway has asked for is there for the other; a purge on one is one on both; and whatever becomes of Redis, both answer, from
// what they have.
func TestFleet(t *testing.T) {
	t.Parallel()
	fl := openFleet(t)
	a, b := fl.a, fl.b

	n := number(fl.ask(t, a, "/1000/shared"))
	gateway.Await(t, "the other gateway has it", func() bool {
		got := fl.ask(t, b, "/1000/shared")
		return got.hit() && number(got) == n || fl.purgeAt(t, b, "/1000/shared", &n)
	})

	// A purge reaches both, wherever it is asked for.
	for _, at := range []*front{a, b} {
		before := number(fl.ask(t, a, "/1000/shared"))
		fl.ask(t, b, "/1000/shared")
		at.must("purge", "--url", "http://api.example/1000/shared")
		gateway.Await(t, "both have forgotten", func() bool {
			return number(fl.ask(t, a, "/1000/shared")) > before && number(fl.ask(t, b, "/1000/shared")) > before
		})
	}

	// Paused: requests go on without.
	fl.ask(t, a, "/1000/own")
	fl.redis.Pause()
	for i := range 5 {
		if got := fl.ask(t, a, "/1000/own"); !got.hit() {
			t.Errorf("Redis is paused, and what is in memory is not served: %v", got.header)
		}
		fl.ask(t, a, fmt.Sprintf("/1000/paused%d", i))
		fl.ask(t, b, fmt.Sprintf("/1000/paused%d", i))
	}
	fl.redis.Resume()

	// Stopped: the same; and what is purged then is gone at least here.
	fl.redis.Kill()
	for i := range 5 {
		fl.ask(t, a, fmt.Sprintf("/1000/stopped%d", i))
		if got := fl.ask(t, a, fmt.Sprintf("/1000/stopped%d", i)); !got.hit() {
			t.Errorf("Redis is gone, and what is in memory is not served: %v", got.header)
		}
	}
	before := number(fl.ask(t, a, "/1000/stopped0"))
	a.command("purge", "--url", "http://api.example/1000/stopped0") // it may say that not all were told
	if got := fl.ask(t, a, "/1000/stopped0"); number(got) == before {
		t.Errorf("a purge without Redis: %v", got.header)
	}

	// Back, and empty: it is used again.
	fl.redis.Start()
	i := 0
	gateway.Await(t, "Redis is used again", func() bool {
		i++
		path := fmt.Sprintf("/1000/back%d", i)
		n := number(fl.ask(t, a, path))
		got := fl.ask(t, b, path)
		return got.hit() && number(got) == n
	})

	// Flushed: the first level still serves. What came to it while deletions may have been missed, as until just now, is asked for anew.
	gateway.Await(t, "what is in memory is served after Redis was flushed", func() bool {
		i++
		path := fmt.Sprintf("/1000/flushed%d", i)
		fl.ask(t, a, path)
		fl.redis.Do("FLUSHALL")
		return fl.ask(t, a, path).hit()
	})
	for range 20 {
		fl.ask(t, b, "/1000/flushed")
	}
}

// purgeAt prepares another try: Redis got the answer after the other gateway had looked.
func (fl *fleet) purgeAt(t *testing.T, f *front, path string, n *int64) bool {
	t.Helper()
	f.must("purge", "--url", "http://api.example"+path)
	*n = number(fl.ask(t, fl.a, path))
	return false
}

// TestHostileRedis: what others have written to Redis is not believed.
func TestHostileRedis(t *testing.T) {
	t.Parallel()
	fl := openFleet(t)
	n := 0
	gateway.Await(t, "something lies in Redis", func() bool {
		n++
		fl.ask(t, fl.a, fmt.Sprintf("/2000/%d", n))
		return fl.redis.Do("--scan", "--pattern", "*cache*") != ""
	})
	for i, value := range []string{"", "x", "\x01\x02\xff\xfe\x03", strings.Repeat("noise", 800)} {
		for _, key := range lines(fl.redis.Do("--scan", "--pattern", "*cache*")) {
			if fl.redis.Do("TYPE", key) == "string" {
				fl.redis.Do("SET", key, value, "KEEPTTL")
			}
		}
		for j := range n {
			fl.ask(t, fl.b, fmt.Sprintf("/2000/%d", j+1))
			fl.ask(t, fl.b, fmt.Sprintf("/2000/%d-%d", i, j+1))
		}
	}
}
