package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
)

// TestRootKeepsOneCapability looks at all threads, those included that were started since, and at what must go on working: an address
// below 1024 that a later configuration asks for.
func TestRootKeepsOneCapability(t *testing.T) {
	needsRoot(t)
	listen, app := gateway.Free(t), endpoint(t)
	g := gateway.Start(t, shutIn(listen, app, ""))
	awaitSandbox(t, g)
	load := traffic.Start(traffic.Plan{Addr: listen, Conns: 16})
	gateway.Await(t, "requests are answered", func() bool { return load.Requests() > 500 })
	if r := load.Stop(); r.Failed > 0 {
		t.Errorf("%d requests failed: %v", r.Failed, r.Failures)
	}
	found := statuses(t, g.Pid())
	threads := found["Pid "]
	for _, line := range []string{"NoNewPrivs 1", "CapEff 0000000000000400", "CapPrm 0000000000000400", "CapBnd 0000000000000400",
		"CapInh 0000000000000000", "CapAmb 0000000000000000"} {
		if found[line] != threads {
			t.Errorf("found %q with %d of %d threads: %v", line, found[line], threads, found)
		}
	}

	low := fmt.Sprintf("127.%d.%d.%d:443", 1+os.Getpid()%250, 1+os.Getpid()/250%250, 7)
	if err := g.Reload(strings.Replace(shutIn(listen, app, ""), "upstreams:", fmt.Sprintf("  - { address: %q, name: low }\nupstreams:", low), 1)); err != nil {
		t.Fatal(err)
	}
	served(t, low)
	served(t, listen)
	if code := g.Stop(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
}

// TestOff gives nothing up.
func TestOff(t *testing.T) {
	needsRoot(t)
	listen := gateway.Free(t)
	g := gateway.Start(t, gateway.Simple(listen, []string{endpoint(t)}, "")+"sandbox: off\n")
	gateway.Await(t, "it is told", func() bool { return g.Logged("there is no sandbox") })
	found := statuses(t, g.Pid())
	if found["NoNewPrivs 0"] != found["Pid "] || found["CapEff 0000000000000400"] > 0 {
		t.Errorf("found %v", found)
	}
	served(t, listen)
}

// TestNobody is a user without rights, who has none to lose and is shut in all the same.
func TestNobody(t *testing.T) {
	needsRoot(t)
	dir, listen, app := room(t, nobody), gateway.Free(t), endpoint(t)
	config := func(more string) string {
		return gateway.Simple(listen, []string{app}, "") + "metrics: off\nadmin: { socket: " + dir + "/run/admin.sock }\nlog: { access: { to: " + dir + "/log/access.log } }\nstate: " + dir + "/state\n" + more
	}
	for _, own := range []string{"run", "log"} {
		if err := errors.Join(os.Mkdir(filepath.Join(dir, own), 0o700), os.Chown(filepath.Join(dir, own), nobody, nobody)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir+"/etc/straum.yaml", config(""))
	p := run(t, dir, nobody, nil, "run", "-c", dir+"/etc/straum.yaml")
	gateway.Await(t, "the sandbox is entered", func() bool { return !p.running() || strings.Contains(p.log(), "the sandbox is entered") })
	if strings.Contains(p.log(), `"landlock":0`) {
		t.Skip("this kernel has no Landlock")
	}
	if !strings.Contains(p.log(), `"capabilities":"","lacking":0`) {
		t.Errorf("found %s", p.log())
	}
	served(t, listen)
	found := statuses(t, p.cmd.Process.Pid)
	if n := found["Pid "]; found["NoNewPrivs 1"] != n || found["CapEff 0000000000000000"] != n {
		t.Errorf("found %v", found)
	}
	if info, err := os.Stat(dir + "/state"); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory of state: %v, %v", info, err)
	}

	outside := room(t, nobody)
	write(t, outside+"/list", "192.0.2.0/24\n")
	write(t, dir+"/etc/straum.yaml", config("policies: [{ ip: { deny_files: ["+outside+"/list] } }]\n"))
	gateway.Await(t, "what is outside is refused", func() bool { return strings.Contains(p.log(), "keeps it out of reach") })
	served(t, listen)
}

// TestRequired does not start without what is asked for.
func TestRequired(t *testing.T) {
	needsRoot(t)
	dir := room(t, 0)
	write(t, dir+"/straum.yaml", gateway.Simple(gateway.Free(t), []string{endpoint(t)}, "")+"metrics: off\nadmin: off\nlog: { access: { to: off } }\nstate: state\n"+
		"sandbox: { required: true, read: [/straum/gone] }\n")
	p := run(t, dir, 0, nil, "run", "-c", dir+"/straum.yaml")
	<-p.ended
	if code := p.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("it ended with %d", code)
	}
	want := "sandbox.required is true, and a part of the sandbox is lacking: /straum/gone is left out: no such file or directory; set required: false to start without"
	if !strings.Contains(p.log(), want) {
		t.Errorf("it did not say %q", want)
	}
}

// TestProxyAndDemo are shut in too.
func TestProxyAndDemo(t *testing.T) {
	needsRoot(t)
	listen := gateway.Free(t)
	for _, arguments := range [][]string{{"proxy", "--to", endpoint(t), "--listen", listen}, {"demo", "--listen", "127.0.0.1:0"}} {
		t.Run(arguments[0], func(t *testing.T) {
			dir := room(t, 0)
			p := run(t, dir, 0, []string{"TMPDIR=" + dir}, arguments...)
			gateway.Await(t, "all threads have given up what they can", func() bool {
				found := statuses(t, p.cmd.Process.Pid)
				return found["NoNewPrivs 1"] == found["Pid "] && found["CapEff 0000000000000400"] == found["Pid "]
			})
			if arguments[0] == "proxy" {
				served(t, listen)
				return
			}
			gateway.Await(t, "the tour begins", func() bool { return strings.Contains(p.log(), "Ctrl-C ends it") })
			if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			<-p.ended
			if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
				t.Errorf("the demo left %v", left)
			}
		})
	}
}

// TestOthersCannotBeReached holds that a unix socket still can: the network is left alone.
func TestUpstreamOnAUnixSocket(t *testing.T) {
	needsRoot(t)
	path := filepath.Join(room(t, 0), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	traffic := gateway.Free(t)
	go answer(l)
	g := gateway.Start(t, shutIn(traffic, "unix:"+path, ""))
	awaitSandbox(t, g)
	served(t, traffic)
}
