package main

import (
	"context"
	"embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"straum.dev/straum/bench/process"
)

//go:embed peers
var peers embed.FS

// gatewayNames are the gateways in the order they run by default.
func gatewayNames() []string { return []string{"nginx", "haproxy", "straum"} }

// ground is what every gateway stands on: a folder, ports, the upstreams and the log sink.
type ground struct {
	dir      string
	binary   string // Straum's
	bulk     int64  // size of the one large body
	files    int    // open files that a program may have
	ports    map[string]int
	upstream *process.Process
	redis    *process.Process // nil when no scenario wants it
	sink     *uploadSink
	keepable *keepable // nil when no scenario wants it
	stalling *stalling // nil when no scenario wants it
	syslog   *syslogSink

	badTokens map[string]string // by what is wrong with each; nil when no scenario wants tokens
}

func newGround(dir string, o options, files int, bulk int64) (_ *ground, err error) {
	g := &ground{dir: dir, binary: o.binary, files: files, bulk: bulk, ports: map[string]int{
		"upstream": o.port, "sink": o.port + 1, "keepable": o.port + 2, "target": o.port + 3, "target-h2c": o.port + 4, "nginx": o.port + 101, "haproxy": o.port + 102, "straum": o.port + 103, "kept": o.port + 104, "varnish": o.port + 105,
		"nginx-tls": o.port + 201, "haproxy-tls": o.port + 202, "straum-tls": o.port + 203, "kept-tls": o.port + 204,
		"nginx-h2c": o.port + 301, "haproxy-h2c": o.port + 302, "straum-h2c": o.port + 103,
		"syslog": o.port + 514, "nginx-metrics": o.port + 901, "haproxy-metrics": o.port + 902, "metrics": o.port + 903, "kept-metrics": o.port + 904, "redis": o.port + 637,
	}}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	if err := g.portsAreFree(); err != nil {
		return nil, err
	}
	if err := g.layFiles(); err != nil {
		return nil, err
	}
	if o.wants(tokens) {
		if err := g.layTokens(o.tokens); err != nil {
			return nil, err
		}
	}
	if o.wants(limits) {
		if err := layCallers(dir); err != nil {
			return nil, err
		}
		g.redis, err = g.launch(context.Background(), "redis", loadCore, nil, "redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(g.ports["redis"]), "--save", "", "--dir", dir)
		if err != nil {
			return nil, err
		}
	}
	if o.wants(caches) || o.wants(stalls) {
		if g.keepable, err = startKeepable(g.address("keepable")); err != nil {
			return nil, err
		}
	}
	if o.wants(stalls) {
		if g.stalling, err = mountStalling(dir); err != nil {
			return nil, err
		}
	}
	if g.sink, err = startUploadSink(g.address("sink")); err != nil {
		return nil, err
	}
	if g.syslog, err = startSyslogSink(g.address("syslog")); err != nil {
		return nil, err
	}
	g.upstream, err = g.launch(context.Background(), "upstream", loadCore, nil,
		"nginx", "-e", filepath.Join(dir, "upstream.err"), "-c", filepath.Join(dir, "upstream.conf"), "-g", "daemon off;")
	if err != nil {
		return nil, err
	}
	return g, nil
}

func (g *ground) close() {
	for _, p := range []*process.Process{g.upstream, g.redis} {
		if p != nil {
			p.Stop()
		}
	}
	if g.stalling != nil {
		g.stalling.close()
	}
	if g.keepable != nil {
		g.keepable.close()
	}
	if g.syslog != nil {
		g.syslog.close()
	}
	if g.sink != nil {
		g.sink.close()
	}
}

func (g *ground) address(name string) string { return fmt.Sprintf("127.0.0.1:%d", g.ports[name]) }

func (g *ground) portsAreFree() error {
	for name, port := range g.ports {
		if name == "straum-h2c" {
			continue // the same as straum's: it tells HTTP/2 by its first bytes
		}
		l, err := net.Listen("tcp", g.address(name))
		if err != nil {
			return fmt.Errorf("port %d is taken; give another first port with -port: %w", port, err)
		}
		l.Close()
	}
	return nil
}

// layFiles writes the configurations, filled in, and the files that the upstream serves.
func (g *ground) layFiles() error {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // else nginx gives up root and may not enter our folder
	}
	words := []string{
		"@DIR@", g.dir, "@USER@", user,
		"@FILES@", strconv.Itoa(g.files), "@BUDGET@", strconv.Itoa(cacheBudget), "@ISSUER@", issuer, "@AUDIENCE@", audience,
		// Idle connections share their upstream connections, so far fewer than two files a connection are needed.
		"@CONNECTIONS@", strconv.Itoa(min(40_000, g.files-500)),
	}
	for name, port := range g.ports {
		words = append(words, "@"+strings.ToUpper(name)+"@", strconv.Itoa(port))
	}
	replacer := strings.NewReplacer(words...)
	for _, name := range []string{
		"nginx.conf", "haproxy.cfg", "straum.yaml", "nginx-jwt.conf", "token.lua", "haproxy-jwt.cfg", "straum-jwt.yaml",
		"nginx-limits.conf", "haproxy-limits.cfg", "straum-limits.yaml", "nginx-cache.conf", "haproxy-cache.cfg", "straum-cache.yaml", "varnish.vcl", "straum-stall.yaml",
		"upstream.conf", "target.conf", "openssl.cnf",
	} {
		text, err := peers.ReadFile("peers/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(g.dir, name), []byte(replacer.Replace(string(text))), 0o600); err != nil {
			return err
		}
	}
	if err := g.layKept(replacer); err != nil {
		return err
	}
	if err := layCertificate(g.dir); err != nil {
		return err
	}
	served := filepath.Join(g.dir, "files")
	if err := os.Mkdir(served, 0o700); err != nil {
		return err
	}
	for name, size := range map[string]int64{"64k": 64 << 10, "1g": g.bulk} {
		file := filepath.Join(served, name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			return err
		}
		if err := os.Truncate(file, size); err != nil { // sparse: it takes no room
			return err
		}
	}
	return nil
}

// opensslEnv makes a program that uses OpenSSL take our file for its defaults.
func (g *ground) opensslEnv() []string {
	return []string{"OPENSSL_CONF=" + filepath.Join(g.dir, "openssl.cnf")}
}

// layKept writes the configuration of the nginx that remembers tokens: the other one's, with its own names.
func (g *ground) layKept(replacer *strings.Replacer) error {
	text, err := peers.ReadFile("peers/nginx-jwt.conf")
	if err != nil {
		return err
	}
	renamed := strings.NewReplacer("@NGINX", "@KEPT", "@DIR@/nginx", "@DIR@/kept", "token.verified", "token.remembered").Replace(string(text))
	return os.WriteFile(filepath.Join(g.dir, "kept-jwt.conf"), []byte(replacer.Replace(renamed)), 0o600)
}

// layTokens makes the key, count good tokens and the bad ones.
func (g *ground) layTokens(count int) error {
	m, err := newMint(time.Now())
	if err != nil {
		return err
	}
	if g.badTokens, err = m.bad(); err != nil {
		return err
	}
	return layTokens(g.dir, m, count)
}

// setup is which of its configurations a gateway runs with: what the names of their files end with.
type setup string

const (
	simple setup = ""        // no policies
	tokens setup = "-jwt"    // asking for tokens
	limits setup = "-limits" // counting callers
	caches setup = "-cache"  // caching in memory
	stalls setup = "-stall"  // caching on a disk that can be stalled
)

// start runs one gateway on its core, set up in one way, and returns once it accepts connections.
func (g *ground) start(ctx context.Context, name string, as setup) (*process.Process, error) {
	file := func(name string) string {
		end := filepath.Ext(name)
		return filepath.Join(g.dir, strings.TrimSuffix(name, end)+string(as)+end)
	}
	switch name {
	case "nginx", "kept":
		return g.launch(ctx, name, gatewayCore, nil, "nginx", "-e", filepath.Join(g.dir, name+".err"), "-c", file(name+".conf"), "-g", "daemon off;")
	case "varnish":
		return g.startVarnish(ctx)
	case "haproxy":
		return g.launch(ctx, name, gatewayCore, nil, "haproxy", "-db", "-f", file("haproxy.cfg"))
	default:
		return g.launch(ctx, name, gatewayCore, []string{"GOMAXPROCS=1"}, g.binary, "run", "-c", file("straum.yaml"))
	}
}

func (g *ground) launch(ctx context.Context, name string, core int, env []string, argv ...string) (*process.Process, error) {
	output := filepath.Join(g.dir, name+".out")
	p, err := process.Start(core, output, env, argv...)
	if err != nil {
		return nil, err
	}
	fail := func(why string) (*process.Process, error) {
		p.Stop()
		said, _ := os.ReadFile(output)
		return nil, fmt.Errorf("%s %s; it said:\n%s", name, why, said)
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		conn, err := net.Dial("tcp", g.address(name))
		if err == nil {
			conn.Close()
			return p, nil
		}
		select {
		case <-p.Exited():
			return fail("ended at its start")
		case <-ctx.Done():
			return fail("was given up: " + ctx.Err().Error())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fail("does not listen on " + g.address(name) + " after 10 s")
}

// logged is how many requests the gateway's access log shows: proof that all three really write theirs.
func (g *ground) logged(name string) int64 {
	if name == "haproxy" {
		return g.syslog.lines()
	}
	return countLines(filepath.Join(g.dir, name+"-access.log"))
}

// logsMore waits until the access log shows more requests than before: lines are buffered for a second or so.
func (g *ground) logsMore(name string, before int64) bool {
	for deadline := time.Now().Add(10 * time.Second); g.logged(name) <= before; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// version is the first line a program says about itself.
func version(ctx context.Context, argv ...string) string {
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil && line == "" {
		return "unknown"
	}
	return line
}
