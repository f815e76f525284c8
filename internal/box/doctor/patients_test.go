package doctor

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"straum.dev/straum/internal/config"
)

const day = 24 * time.Hour

// pair is a certificate with its key as the patients have it.
type pair struct {
	left   time.Duration // 60 days when 0
	rsa    bool
	denied bool // the key is there already
}

// paired writes a pair into the tree and has the configuration name it.
func paired(w pair) func(*Patient) {
	return func(p *Patient) {
		if w.left == 0 {
			w.left = 60 * day
		}
		var key crypto.Signer
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); w.rsa {
			key, err = rsa.GenerateKey(rand.Reader, 2048)
		}
		must(err)
		c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"api.example.com"}, NotBefore: noon.Add(-30 * day), NotAfter: noon.Add(w.left)}
		der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
		must(err)
		private, err := x509.MarshalPKCS8PrivateKey(key)
		must(err)
		put(p, "/etc/straum/cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
		if !w.denied {
			put(p, "/etc/straum/key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
		}
		p.Config = parsed(strings.Replace(file, "tls: auto", "tls: { certificates: [{ cert: cert.pem, key: key.pem }] }", 1))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func parsed(text string) *config.Config {
	c, err := config.Parse("/etc/straum/straum.yaml", []byte(text), config.Options{})
	must(err)
	return c
}

// put puts a file into the patient's tree.
func put(p *Patient, name string, text []byte, perm os.FileMode) {
	at := p.Machine.Path(name)
	must(os.MkdirAll(filepath.Dir(at), 0o755))
	must(os.WriteFile(at, text, perm))
	must(os.Chmod(at, perm))
}

// mode has one file of the configuration, of a mode, and none of the others.
func mode(name string, perm os.FileMode) func(*Patient) {
	return func(p *Patient) {
		put(p, "/etc/straum/straum.yaml", nil, 0o640)
		p.Config.Log.Access.To = name // logs are looked for by their name
		put(p, name, nil, perm)
		if !strings.Contains(name, "log") {
			p.Config.Log.Access.To = "stdout"
		}
	}
}

// behindWall is a configuration whose state lies behind what is no directory.
func behindWall(p *Patient) {
	put(p, "/etc/straum/wall", nil, 0o600)
	p.Config.State = "wall/state"
	p.Config.Log.Access.To = "stdout"
}

// openSocket is an admin socket that somebody has opened to all.
func openSocket(p *Patient) {
	p.Config.Admin.Socket = "/s"
	must(os.Chmod(p.Machine.Root, 0o755))
	ln, err := net.Listen("unix", p.Machine.Path("/s"))
	must(err)
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	must(ln.Close())
	must(os.Chmod(p.Machine.Path("/s"), 0o666))
}

func rightsOf(uid, caps, gain string) map[string]string {
	return map[string]string{"/proc/812/status": fmt.Sprintf("Name:\tstraum\nUid:\t%[1]s\t%[1]s\t%[1]s\t%[1]s\nCapEff:\t%[2]s\nNoNewPrivs:\t%[3]s\n", uid, caps, gain)}
}

func reaches(r Reached, err error) func(*Patient) {
	return func(p *Patient) {
		p.Probes.Reach = func(context.Context, *config.Upstream, *config.Endpoint) (Reached, error) { return r, err }
	}
}

func manyEndpoints(p *Patient) {
	reaches(Reached{Reused: true}, nil)(p)
	u := &p.Config.Upstreams[0]
	for range 49 {
		u.Endpoints = append(u.Endpoints, u.Endpoints[:2]...)
	}
}

// resolves has an endpoint that is given by name.
func resolves(told Told) func(*Patient) {
	return func(p *Patient) {
		p.Probes.Ask = func(context.Context, string, string) Told { return told }
		p.Config = parsed(strings.Replace(file, "10.0.0.5:8080", "api.internal:8080", 1))
	}
}

func removed(p *Patient, name string) error { return os.Remove(p.Machine.Path(name)) }
