package ban

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// scanned are paths as they stand in the logs of any server on the Internet.
var scanned = []string{"/.env", "/.git/config", "/wp-login.php", "/wp-admin/setup-config.php", "/phpmyadmin/index.php", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
	"/cgi-bin/luci", "/actuator/env", "/solr/admin/info/system", "/boaform/admin/formLogin", "/HNAP1", "/owa/auth/logon.aspx", "/manager/html", "/.aws/credentials",
	"/server-status", "/config.json", "/api/v1/pods", "/_ignition/execute-solution", "/xmlrpc.php", "/backup.zip"}

// TestScannersBesideGoodClients replays scanners and guessers together with good clients, some of which make the mistakes that people make, and
// five behind one address with a scanner among them.
func TestScannersBesideGoodClients(t *testing.T) {
	f := open(t, behindProxy, "bans: {}")
	type tally struct {
		address  string
		requests int
		refused  int
		took     time.Duration
		until    int // requests until the ban, -1 for none
	}
	var mu sync.Mutex
	done := map[string][]tally{}
	keep := func(kind string, one tally) {
		mu.Lock()
		defer mu.Unlock()
		done[kind] = append(done[kind], one)
	}
	drive := func(kind, address string, n int, request func(i int) (path, credential string)) {
		one := tally{address: address, until: -1}
		began := time.Now()
		for i := range n {
			path, credential := request(i)
			status, err := f.try(address, path, credential)
			if err != nil {
				t.Errorf("%s: %v", address, err)
				return
			}
			one.requests++
			if status == http.StatusForbidden {
				if one.refused++; one.until < 0 {
					one.until, one.took = i, time.Since(began)
				}
				if one.refused == 20 {
					break
				}
			}
		}
		keep(kind, one)
	}
	each := 120 // requests of a good client
	if gateway.Race {
		each = 60
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			drive("scanner", fmt.Sprintf("203.0.113.%d", i+1), 400, func(i int) (string, string) { return scanned[i%len(scanned)], "" })
		})
		group.Go(func() {
			drive("guesser", fmt.Sprintf("203.0.113.%d", i+101), 60, func(i int) (string, string) {
				return "/closed/a", fmt.Sprintf("guess-%d-of-some-length-or-other", i)
			})
		})
		group.Go(func() { // a client that has mistyped its key a few times, and follows dead links
			for j := range 8 {
				drive("good", fmt.Sprintf("198.51.100.%d", 10*i+j), each, func(n int) (string, string) {
					switch {
					case n < 3 && j == 0:
						return "/closed/a", "mistyped-" + key(i)
					case n%30 == 17:
						return "/gone", ""
					}
					return "/closed/a", key(i)
				})
			}
		})
	}
	// One address of a company: what is good of it comes first, as when it has worked here since the morning.
	for i := range 5 {
		if status := f.ask("192.0.2.1", "/closed/a", key(i)); status != http.StatusOK {
			t.Fatalf("consumer %d: %d", i, status)
		}
	}
	for i := range 5 {
		group.Go(func() {
			drive("shared", "192.0.2.1", 200, func(int) (string, string) { return "/closed/a", key(i) })
		})
	}
	group.Go(func() {
		drive("scanner at the shared address", "192.0.2.1", 400, func(i int) (string, string) { return scanned[i%len(scanned)], "" })
	})
	group.Wait()

	for kind, all := range done {
		var until []int
		var took []time.Duration
		requests, refused := 0, 0
		for _, one := range all {
			requests, refused = requests+one.requests, refused+one.refused
			if one.until >= 0 {
				until, took = append(until, one.until), append(took, one.took)
			}
		}
		slices.Sort(until)
		slices.Sort(took)
		t.Logf("%-30s %3d clients, %5d requests, banned %d after %v requests, %v", kind, len(all), requests, len(until), until, took)
		switch kind {
		case "scanner", "guesser":
			most := 110
			if kind == "guesser" {
				most = 20 // ten, and what has fallen by then
			}
			if len(until) != len(all) || until[len(until)-1] > most {
				t.Errorf("%s: %d of %d banned, at the latest after %v requests; want all after %d", kind, len(until), len(all), until, most)
			}
		default:
			if refused > 0 {
				t.Errorf("%s: %d requests refused", kind, refused)
			}
		}
	}
	if w := f.why("192.0.2.1"); w.Consumers < 3 || w.How != "none" {
		t.Errorf("the shared address: %+v", w)
	}
	l := f.list()
	if l.Total != 16 {
		t.Errorf("%d bans: %+v", l.Total, l.Bans)
	}
	if n := f.Number("straum_policy_bans_not_made_total", `why="consumers"`); n != 1 {
		t.Errorf("%v addresses spared", n)
	}
	if n := f.Number("straum_policy_bans", `how="refuse"`); n != 16 {
		t.Errorf("%v refused by 403", n)
	}
	line := f.AwaitAccess("a refused one", func(l gateway.Line) bool { return l.Number("status") == 403 })
	if line.Text("fault") != "banned" && !strings.Contains(fmt.Sprint(line), "banned") {
		t.Errorf("the access log has %v", line)
	}
}

// TestASpoofedAddressBansNobodyElse has attackers name victims in every field that somebody might believe.
func TestASpoofedAddressBansNobodyElse(t *testing.T) {
	f := open(t, behindProxy, "bans: {}")
	const victim, attacker = "198.51.100.7", "203.0.113.66"
	// Through the proxy, which adds whom it saw.
	for i := range 30 {
		if status := f.ask(victim+", "+attacker, "/closed/a", fmt.Sprint("guess-", i, "-of-some-length")); status == http.StatusForbidden {
			break
		}
	}
	if w := f.why(attacker); w.How != "refuse" {
		t.Errorf("the attacker: %+v", w)
	}
	if w := f.why(victim); w.How != "none" || w.Score != 0 {
		t.Errorf("the victim: %+v", w)
	}
	if status := f.ask(victim, "/closed/a", key(1)); status != http.StatusOK {
		t.Errorf("the victim is answered %d", status)
	}
	if status := f.ask(victim+", "+attacker, "/open/a", ""); status != http.StatusForbidden {
		t.Errorf("the attacker is answered %d", status)
	}

	// Without a trusted proxy nobody is believed; the peer is loopback here, which is never banned.
	f = open(t, "", "bans: {}")
	for i := range 60 {
		if status := f.ask(victim, "/closed/a", fmt.Sprint("guess-", i, "-of-some-length")); status != http.StatusUnauthorized {
			t.Fatalf("the peer is answered %d", status)
		}
	}
	if w := f.why(victim); w.Score != 0 || w.How != "none" {
		t.Errorf("the victim: %+v", w)
	}
	if w := f.why("127.0.0.1"); w.Never == nil || w.Never.Why != "loopback" || w.Score != 0 {
		t.Errorf("loopback: %+v", w)
	}
}

// TestBansSurvive ends the gateway in order and without, and loads its configuration again.
func TestBansSurvive(t *testing.T) {
	f := open(t, behindProxy, "bans: { first: 1h }")
	const bad, other = "203.0.113.66", "2001:db8:6::1"
	if n := f.guess(bad, 30); n > 11 {
		t.Fatalf("not banned after %d guesses", n)
	}
	f.must("add", other, "--for", "forever", "--reason", "for the test")
	before := f.list()
	still := func(when string) {
		t.Helper()
		if status := f.ask(bad, "/open/a", ""); status != http.StatusForbidden {
			t.Errorf("%s: %s is answered %d", when, bad, status)
		}
		if status := f.ask("198.51.100.1", "/open/a", ""); status != http.StatusOK {
			t.Errorf("%s: somebody else is answered %d", when, status)
		}
		l := f.list()
		if fmt.Sprint(l.Bans) != fmt.Sprint(before.Bans) && !same(l, before) {
			t.Errorf("%s:\n%+v\nbefore\n%+v", when, l.Bans, before.Bans)
		}
	}
	still("at once")
	if err := f.Reload(strings.Replace(f.config, "first: 1h", "first: 2h, threshold: 90", 1)); err != nil {
		t.Fatal(err)
	}
	still("after a reload")
	if code := f.Stop(); code != 0 {
		t.Fatalf("code %d", code)
	}
	f.Gateway = gateway.Start(t, f.config)
	still("after a restart")

	const late = "203.0.113.67"
	f.guess(late, 30)
	file := filepath.Join(filepath.Dir(f.socket), "state", "bans")
	gateway.Await(t, "the ban is on disk", func() bool {
		text, _ := os.ReadFile(file)
		return strings.Contains(string(text), late)
	})
	f.Signal(syscall.SIGKILL)
	f.Wait()
	f.Gateway = gateway.Start(t, f.config)
	if status := f.ask(late, "/open/a", ""); status != http.StatusForbidden {
		t.Errorf("after a kill: %d", status)
	}
	f.must("remove", late)
	still("after a kill")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func same(a, b listed) bool {
	if len(a.Bans) != len(b.Bans) {
		return false
	}
	for i := range a.Bans {
		x, y := a.Bans[i], b.Bans[i]
		if x.Network != y.Network || x.How != y.How || x.Reason != y.Reason || x.By != y.By || x.Count != y.Count || !x.Began.Equal(y.Began) ||
			(x.Until == nil) != (y.Until == nil) || x.Until != nil && !x.Until.Equal(*y.Until) {
			return false
		}
	}
	return true
}

func TestCommands(t *testing.T) {
	f := open(t, behindProxy, "bans: { never: [198.51.100.0/24] }")
	const bad = "203.0.113.66"
	if out := f.must("list"); !strings.Contains(out, "no bans") {
		t.Errorf("%s", out)
	}
	f.guess(bad, 5)
	if w := f.why(bad); w.How != "none" || w.Score < 45 || len(w.Signals) != 1 || w.Signals[0].Signal != "auth_failed" {
		t.Errorf("%+v", w)
	}
	if out := f.must("add", bad, "--how", "refuse", "--reason", "abuse report 4711"); !strings.Contains(out, bad+" is banned (refuse) until ") {
		t.Errorf("%s", out)
	}
	if status := f.ask(bad, "/open/a", ""); status != http.StatusForbidden {
		t.Errorf("banned, and answered %d", status)
	}
	out := f.must("list")
	if !strings.Contains(out, "abuse report 4711  olivia") {
		t.Errorf("%s", out)
	}
	if out := f.must("why", bad); !strings.Contains(out, bad+" is refused: requests are answered with 403") || !strings.Contains(out, "abuse report 4711") {
		t.Errorf("%s", out)
	}
	f.must("remove", bad)
	if status := f.ask(bad, "/open/a", ""); status != http.StatusOK {
		t.Errorf("not banned any more, and answered %d", status)
	}
	if w := f.why(bad); w.Score != 0 || w.Count != 0 {
		t.Errorf("after it was forgotten: %+v", w)
	}
	refused := func(want string, args ...string) {
		t.Helper()
		if out, code := f.run(args...); code != 1 || !strings.Contains(out, want) {
			t.Errorf("straum ban %s: code %d: %s; want %s", strings.Join(args, " "), code, out, want)
		}
	}
	refused("is not banned", "remove", bad)
	refused("loopback", "add", "127.0.0.1")
	refused("named in never", "add", "198.51.100.9")
	refused("never banned", "add", "198.0.0.0/8")
	refused("allowed: an address or a network", "add", "somewhere")

	// A network, and one of its addresses.
	f.must("add", "203.0.113.0/24", "--for", "forever")
	if status := f.ask("203.0.113.200", "/open/a", ""); status != http.StatusForbidden {
		t.Errorf("part of a network: %d", status)
	}
	refused("part of 203.0.113.0/24", "remove", "203.0.113.200")
	f.must("remove", "203.0.113.0/24")

	// Who gives orders from an address is not banned there.
	t.Setenv("SSH_CONNECTION", "")
	cmd := f.program("list")
	cmd.Env = append(os.Environ(), "SSH_CONNECTION=203.0.113.50 50000 192.0.2.1 22")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	gateway.Await(t, "it is known", func() bool { return f.why("203.0.113.50").Never != nil })
	if f.guess("203.0.113.50", 40) != 40 {
		t.Error("whoever looks after the gateway was banned")
	}
	refused("looks after the gateway", "add", "203.0.113.0/24")

	// Off.
	if err := f.Reload(strings.Replace(f.config, "bans: {", "#", 1)); err != nil {
		t.Fatal(err)
	}
	refused("bans are off", "add", bad)
}

func TestDryRun(t *testing.T) {
	f := open(t, behindProxy, "bans: { dry_run: true }")
	const bad = "203.0.113.66"
	if f.guess(bad, 30) != 30 {
		t.Fatal("refused in a dry run")
	}
	l := f.list()
	if !l.DryRun || len(l.Bans) != 1 || l.Bans[0].InForce || l.Bans[0].Network != bad {
		t.Errorf("%+v", l)
	}
	if n := f.Number("straum_policy_bans_dry"); n != 1 {
		t.Errorf("%v", n)
	}
	gateway.Await(t, "it is logged", func() bool { return f.Logged("would be banned") })
	f.must("add", "203.0.113.67", "--how", "refuse")
	if status := f.ask("203.0.113.67", "/open/a", ""); status != http.StatusForbidden {
		t.Errorf("banned by hand, and answered %d", status)
	}
}

// TestDroppedBehindAProxyHeader names clients in PROXY headers, whose connections are closed before anything else is read.
func TestDroppedBehindAProxyHeader(t *testing.T) {
	f := open(t, "proxy_protocol: { from: [127.0.0.0/8] }", "bans: { ladder: [drop], threshold: 25 }")
	connect := func(client string) net.Conn {
		t.Helper()
		nc, err := net.Dial("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		fmt.Fprintf(nc, "PROXY TCP4 %s 192.0.2.1 1000 80\r\n", client)
		return nc
	}
	// The scores of one connection, which ends with 403 when its client is banned.
	nc := connect("203.0.113.66")
	p := wire.Dial(t, f.addr)
	p.Send("PROXY TCP4 203.0.113.66 192.0.2.1 1001 80\r\n")
	statuses := ""
	for range 4 {
		p.Send("GET /closed/a HTTP/1.1\r\nHost: x\r\nX-API-Key: guessed-by-somebody-or-other\r\n\r\n")
		m := p.Answer("GET")
		statuses += fmt.Sprint(m.Status(), " ")
		if m.Status() == http.StatusForbidden && m.Get("Connection") != "close" {
			t.Errorf("the connection of a banned client goes on: %s", m)
		}
	}
	if statuses != "401 401 401 403 " {
		t.Errorf("answered %s", statuses)
	}
	p.Ended()
	if err := reset(connect("203.0.113.66")); err != nil {
		t.Error(err)
	}
	// A connection that came in before the ban has its answer.
	fmt.Fprint(nc, "GET /open/a HTTP/1.1\r\nHost: x\r\n\r\n")
	answer := make([]byte, 12)
	if _, err := nc.Read(answer); err != nil || string(answer) != "HTTP/1.1 403" {
		t.Errorf("%q, %v", answer, err)
	}
	good := wire.Dial(t, f.addr)
	good.Send("PROXY TCP4 203.0.113.67 192.0.2.1 1001 80\r\nGET /open/a HTTP/1.1\r\nHost: x\r\n\r\n")
	if m := good.Answer("GET"); m.Status() != http.StatusOK {
		t.Errorf("%s", m)
	}
	if n := f.Number("straum_listener_refused_total", `reason="banned"`); n != 1 {
		t.Errorf("%v dropped", n)
	}
	if w := f.why("127.0.0.1"); w.Never == nil {
		t.Errorf("the proxy: %+v", w)
	}
}
