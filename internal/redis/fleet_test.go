package redis

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/redistest"
)

// A sentinel names the server; when that dies it names its replica, and the client follows. Scripts are sent again there.
func TestSentinel(t *testing.T) {
	t.Parallel()
	first := redistest.Start(t)
	second := redistest.Start(t, "--replicaof", "127.0.0.1 "+first.Port())
	watch := redistest.Start(t, write(t, t.TempDir(), "sentinel.conf", fmt.Sprintf(`sentinel monitor main 127.0.0.1 %s 1
sentinel down-after-milliseconds main 300
sentinel failover-timeout main 2000
`, first.Port())), "--sentinel")
	redistest.Await(t, func() bool {
		return strings.Contains(watch.Do("SENTINEL", "REPLICAS", "main"), second.Port()) && strings.Contains(first.Do("INFO", "replication"), "state=online")
	}, "the replica is not seen")

	c, _ := dial(t, Settings{Addresses: []string{watch.Addr}, Mode: Sentinel, Master: "main"})
	awaitUp(t, c)
	count := NewScript(`return redis.call("INCR", KEYS[1])`)
	if r, err := c.Run(count, []string{"n"}, nil); err != nil {
		t.Fatal(r, err)
	}
	redistest.Await(t, func() bool { return second.Do("GET", "straum:n") == "1" }, "nothing is replicated")
	if second.Do("SCRIPT", "EXISTS", count.sum) != "0" {
		t.Fatal("the replica has the script already; the test shows nothing")
	}
	first.Kill()
	var n int64
	redistest.Await(t, func() bool {
		r, err := c.Run(count, []string{"n"}, nil)
		if err != nil {
			if !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
			return false
		}
		n, _ = r.Int()
		return true
	}, "the client does not follow")
	if n != 2 || second.Do("GET", "straum:n") != "2" {
		t.Errorf("counted %d", n)
	}
	if f := c.Figures(); f.Reloads != 2 || f.Opened == 0 {
		t.Errorf("%+v", f)
	}
	redistest.Await(t, func() bool { return c.Health().OK }, "not healthy after the failover")

	unknown, _ := dial(t, Settings{Addresses: []string{watch.Addr}, Mode: Sentinel, Master: "other"})
	awaitDown(t, unknown, "")
}

// Keys of all slots are found; the keys of one script share a slot by braces; when a master dies its replica takes over.
func TestCluster(t *testing.T) {
	t.Parallel()
	var nodes []*redistest.Server
	var addrs []string
	for range 4 {
		bus := redistest.FreeAddress(t)
		p := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", bus[strings.LastIndex(bus, ":")+1:],
			"--cluster-replica-validity-factor", "0")
		nodes, addrs = append(nodes, p), append(addrs, p.Addr)
	}
	cli := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("redis-cli", append([]string{"--cluster"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	cli(append(append([]string{"create"}, addrs[:3]...), "--cluster-yes")...)
	all := func(want string) func() bool {
		return func() bool {
			for _, p := range nodes {
				if !strings.Contains(p.Do("CLUSTER", "INFO"), want) {
					return false
				}
			}
			return true
		}
	}
	redistest.Await(t, func() bool { return strings.Contains(nodes[0].Do("CLUSTER", "INFO"), "cluster_state:ok") }, "no cluster")
	cli("add-node", addrs[3], addrs[0], "--cluster-slave", "--cluster-master-id", nodes[0].Do("CLUSTER", "MYID"))
	redistest.Await(t, all("cluster_known_nodes:4"), "the replica is not known")
	redistest.Await(t, all("cluster_state:ok"), "the cluster is not ready")
	redistest.Await(t, func() bool { return strings.Contains(nodes[0].Do("INFO", "replication"), "state=online") }, "the replica is not in step")

	c, _ := dial(t, Settings{Addresses: addrs[:2], Mode: Cluster})
	awaitUp(t, c)
	set := func() error {
		for i := range 60 {
			if err := c.Set(fmt.Sprint("k", i), fmt.Append(nil, i), time.Hour); err != nil {
				return err
			}
		}
		return nil
	}
	if err := set(); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		if v, ok, err := c.Get(fmt.Sprint("k", i)); string(v) != fmt.Sprint(i) || !ok || err != nil {
			t.Errorf("%d: %q %v %v", i, v, ok, err)
		}
	}
	for i, p := range nodes[:3] {
		if p.Do("DBSIZE") == "0" {
			t.Errorf("master %d has no key", i)
		}
	}
	both := NewScript(`return {redis.call("INCR", KEYS[1]), redis.call("INCR", KEYS[2])}`)
	for i := range 20 {
		r, err := c.Run(both, []string{fmt.Sprintf("a:{%d}:x", i), fmt.Sprintf("a:{%d}:y", i)}, nil)
		if list, err2 := r.Ints(); fmt.Sprint(list, err, err2) != "[1 1] <nil> <nil>" {
			t.Errorf("%v %v %v", list, err, err2)
		}
	}
	nodes[0].Kill()
	redistest.Await(t, func() bool { return set() == nil && c.Health().OK }, "the replica's slots are not found")
	if got := nodes[3].Do("ROLE"); !strings.HasPrefix(got, "master") {
		t.Errorf("the replica is %s", got)
	}
}
