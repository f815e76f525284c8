package packaged

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The service under a real systemd that is the first process of the root, with the unit of the package: ready when it says so, closed in as the
// unit says, reloaded, upgraded while it runs, replaced when it hangs, drained when it stops.
func TestService(t *testing.T) {
	d := packages(t)
	need(t, "curl")
	r := newRoot(t, true)
	r.put(one(t, earlier(t), "*.deb"), "/root/old.deb")
	r.put(one(t, d, "*.deb"), "/root/new.deb")
	// The only changes: a hung gateway is found within seconds; more of them than a busy machine takes to feed the watchdog.
	r.run("mkdir -p /etc/systemd/system/straum.service.d")
	r.write("/etc/systemd/system/straum.service.d/test.conf", "[Service]\nWatchdogSec=5s\nTimeoutAbortSec=2s\n")
	show := func(property string) string { return r.run("systemctl show -P " + property + " straum") }

	// Installing starts it. Type=notify: it is active only because it has said that it is ready.
	r.run("dpkg -i /root/old.deb")
	if state, kind := show("ActiveState"), show("Type"); state != "active" || kind != "notify" {
		t.Fatalf("after installing it is %s with type %s:\n%s", state, kind, r.run("systemctl status straum; journalctl -u straum --no-pager || :"))
	}
	if out := r.run("curl -s -m 5 http://127.0.0.1:8080/"); !strings.Contains(out, "Straum is running") {
		t.Errorf("it answers %q", out)
	}
	if text := show("StatusText"); text == "" {
		t.Error("it tells systemd nothing of how it is")
	}
	r.is(map[string]string{"/run/straum": "750 straum:straum", "/run/straum/admin.sock": "600 straum:straum", "/var/lib/straum": "700 straum:straum",
		"/etc/straum": "750 root:straum", "/var/log/straum/access.log": "600 straum:straum"})
	closedIn(r, show("MainPID"))
	// The unit lets the gateway put itself into its own sandbox besides.
	entered := r.run("journalctl -u straum --no-pager -o cat -g 'the sandbox is entered'")
	version, _, _ := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if !strings.Contains(entered, `"capabilities":"CAP_NET_BIND_SERVICE"`) || int(version) > 0 && strings.Contains(entered, `"landlock":0`) {
		t.Errorf("the gateway's own sandbox is %s", entered)
	}

	// A reload waits for its result: a mistake is told, and changes nothing.
	good := read(t, r.path("/etc/straum/straum.yaml"))
	r.write("/etc/straum/straum.yaml", good+"nonsense: true\n")
	if out, err := r.try("systemctl reload straum"); err == nil {
		t.Errorf("a configuration with a mistake was taken: %s", out)
	}
	if out := r.run("journalctl -u straum --no-pager"); !strings.Contains(out, "nonsense") {
		t.Errorf("the journal does not name the mistake: %s", out)
	}
	os.Remove(r.path("/run/app.sock"))
	r.write("/etc/straum/straum.yaml", strings.Replace(good, "\nroutes:\n", "\nupstreams: { app: { endpoints: [\"unix:/run/app.sock\"] } }\nroutes:\n  - { match: { path: /slow }, upstream: app }\n", 1))
	r.run("systemctl reload straum")
	if out := r.run("straum upstreams"); !strings.Contains(out, "app") {
		t.Errorf("after the reload it has the upstreams %q", out)
	}

	// An upgrade leaves it running and says so.
	before := show("MainPID")
	if out := r.run("dpkg --force-confold -i /root/new.deb"); !strings.Contains(out, "systemctl restart straum") {
		t.Errorf("the upgrade does not say that a restart is due: %s", out)
	}
	if after := show("MainPID"); after != before {
		t.Errorf("the upgrade replaced process %s by %s", before, after)
	}
	r.run("systemctl restart straum")
	if out := r.run("straum status"); !strings.Contains(out, "straum v"+newVersion) {
		t.Errorf("after the restart: %s", out)
	}

	// It is fed, and one that hangs is replaced.
	r.await("the watchdog was fed twice", func() bool {
		first := show("WatchdogTimestampMonotonic")
		r.await("the watchdog was fed", func() bool { return show("WatchdogTimestampMonotonic") != first })
		return true
	})
	hung := show("MainPID")
	r.run("systemctl kill --kill-who=main -s STOP straum")
	r.await("the hung process was replaced", func() bool {
		return show("NRestarts") != "0" && show("MainPID") != hung && show("ActiveState") == "active"
	})
	if out := r.run("curl -s -m 5 http://127.0.0.1:8080/"); !strings.Contains(out, "Straum is running") {
		t.Errorf("after it was replaced it answers %q", out)
	}

	drains(r)
	// Purging stops it and leaves the operator's folder of drop-ins alone.
	r.run("systemctl start straum && dpkg -P straum")
	if out, _ := r.try("pgrep -x straum; systemctl is-active straum"); !strings.Contains(out, "inactive") && !strings.Contains(out, "unknown") && !strings.Contains(out, "failed") {
		t.Errorf("after purging: %q", out)
	}
}

// closedIn checks that the unit's restrictions hold for every thread of the process.
func closedIn(r *root, pid string) {
	t := r.t
	t.Helper()
	const bind = "0000000000000400" // CAP_NET_BIND_SERVICE
	for _, status := range strings.Split(r.run("cd /proc/"+pid+"/task && for t in *; do cat $t/status; echo; done"), "\n\n") {
		for _, want := range []string{"CapBnd:\t" + bind, "NoNewPrivs:\t1", "Seccomp:\t2"} {
			if !strings.Contains(status, want) {
				t.Errorf("a thread does not have %q:\n%s", want, status)
			}
		}
		for line := range strings.Lines(status) {
			if name, set, ok := strings.Cut(strings.TrimSpace(line), ":\t"); ok && strings.HasPrefix(name, "Cap") && set != bind && strings.Trim(set, "0") != "" {
				t.Errorf("a thread has more than it needs: %s", line)
			}
			if strings.HasPrefix(line, "Uid:") && strings.Contains(line, "\t0") {
				t.Errorf("a thread runs as root: %s", line)
			}
		}
	}
	// From within its view of the file system, as root, who could write anywhere else.
	for _, path := range []string{"/usr/share/doc/straum/copyright", "/etc/straum/straum.yaml", "/etc/passwd", "/proc/sys/net/core/somaxconn"} {
		if out, err := r.try("nsenter -t " + pid + " -m sh -c 'true >>" + path + "'"); err == nil || !strings.Contains(out, "Read-only") {
			t.Errorf("%s is for writing: %v %s", path, err, out)
		}
	}
	r.run("nsenter -t " + pid + " -m sh -c 'true >>/var/lib/straum/x && rm /var/lib/straum/x'")
	if out := r.run("nsenter -t " + pid + " -m sh -c 'ls /home /root /dev'"); strings.Contains(out, "console") || strings.Contains(out, "old.deb") {
		t.Errorf("homes or devices are to be seen: %s", out)
	}
	if out := r.run("nsenter -t " + pid + " -m head -1 /proc/stat"); !strings.HasPrefix(out, "cpu") {
		t.Errorf("how the box does cannot be read: %q", out)
	}
	if limit := r.run("systemctl show -P LimitNOFILE straum"); limit != "262144" {
		t.Errorf("the limit of descriptors is %s", limit)
	}
}

// drains stops the service while a request is under way, which gets its whole answer.
func drains(r *root) {
	t := r.t
	t.Helper()
	under, finish := make(chan struct{}), make(chan struct{})
	l, err := net.Listen("unix", r.path("/run/app.sock")) // a socket in a folder is reached from the root's network too
	if err != nil {
		t.Fatal(err)
	}
	app := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(under)
		<-finish
		io.WriteString(w, "all of it")
	})}
	go app.Serve(l)
	defer app.Close()
	r.run("chmod 0666 /run/app.sock")
	answered := make(chan string, 1)
	go func() {
		out, err := r.try("curl -s -m 30 http://127.0.0.1:8080/slow")
		answered <- fmt.Sprint(out, err)
	}()
	select {
	case <-under:
	case out := <-answered:
		t.Fatalf("the request was answered before it reached its endpoint: %s", out)
	}
	r.run("systemctl stop --no-block straum")
	r.await("it is stopping", func() bool { return r.run("systemctl show -P ActiveState straum") == "deactivating" })
	r.await("no connection is accepted any more", func() bool { _, err := r.try("curl -s -m 5 http://127.0.0.1:8080/"); return err != nil })
	close(finish)
	if out := <-answered; out != "all of it<nil>" {
		t.Errorf("the request that was under way got %q", out)
	}
	r.await("it has stopped", func() bool { return r.run("systemctl show -P ActiveState straum") == "inactive" })
	if out := r.run("systemctl show -P Result straum; systemctl show -P ExecMainStatus straum"); out != "success\n0" {
		t.Errorf("it ended with %q", out)
	}
}
