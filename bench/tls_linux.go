package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"straum.dev/straum/bench/h2load"
	"straum.dev/straum/bench/handshake"
	"straum.dev/straum/bench/process"
	"straum.dev/straum/bench/report"
)

// What every encrypted connection is held to: a gateway that negotiates anything else does other work.
const (
	wantSuite = tls.TLS_AES_128_GCM_SHA256
	wantGroup = tls.X25519
)

// negotiated makes one connection to every gateway and notes what they all agreed to.
func negotiated(ctx context.Context, g *ground, gateways []string) (note string, err error) {
	for _, name := range gateways {
		if err := checkNegotiated(ctx, g, name); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
	return fmt.Sprintf("Negotiated with each: TLS 1.3, %s, %s; the same P-256 certificate.", tls.CipherSuiteName(wantSuite), wantGroup), nil
}

func checkNegotiated(ctx context.Context, g *ground, gateway string) error {
	trusted := x509.NewCertPool()
	text, err := os.ReadFile(filepath.Join(g.dir, "cert.pem"))
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	trusted.AddCert(certificate)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	plain, err := (&net.Dialer{}).DialContext(ctx, "tcp", encrypted.address(g, gateway))
	if err != nil {
		return err
	}
	defer plain.Close()
	config := handshake.Config(serverName, nil)
	config.InsecureSkipVerify, config.RootCAs = false, trusted
	conn := tls.Client(plain, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	state := conn.ConnectionState()
	if state.Version != tls.VersionTLS13 || state.CipherSuite != wantSuite || state.CurveID != wantGroup {
		return fmt.Errorf("negotiated %s, %s, %s; want TLS 1.3, %s, %s", tls.VersionName(state.Version),
			tls.CipherSuiteName(state.CipherSuite), state.CurveID, tls.CipherSuiteName(wantSuite), wantGroup)
	}
	return nil
}

// clients is how many connections are in the making at a time in the scenarios of handshakes.
const clients = 64

// measureHandshakes is a scenario of connections that each serve one request. It fails when a handshake was resumed
// that should not be, or the other way round, or when a gateway saves itself the tickets.
func measureHandshakes(resume bool) measure {
	return func(ctx context.Context, g *ground, p *process.Process, gateway string, o options) (report.Sample, error) {
		gathered, err := handshake.Gather(ctx, handshake.Load{
			Address: encrypted.address(g, gateway), Name: serverName, Path: "/plain/json", Connections: clients, Resume: resume,
		})
		if err != nil {
			return report.Sample{}, err
		}
		return metered(p, func() (float64, report.Sample, error) {
			f, err := gathered.Run(ctx, o.duration/2)
			if err != nil {
				return 0, report.Sample{}, err
			}
			if want := map[bool]int64{true: f.Handshakes}[resume]; f.Resumed != want || f.Tickets < f.Handshakes {
				return 0, report.Sample{}, fmt.Errorf("%d of %d handshakes were resumed and %d tickets came; want %d resumed, and a ticket or more for each",
					f.Resumed, f.Handshakes, f.Tickets, want)
			}
			if f.FirstError != nil {
				fmt.Fprintf(os.Stderr, "%s: %d connections failed, the first with: %v\n", gateway, f.Errors, f.FirstError)
			}
			return float64(f.Handshakes), report.Sample{
				Rate: f.PerSecond(), Resumed: float64(f.Resumed) / float64(f.Handshakes), P50: f.P50, P99: f.P99, Errors: f.Errors,
			}, nil
		}, time.Microsecond)
	}
}

// underH2load is a scenario of many small exchanges on few connections. It gets the part of -duration that share
// divides off.
func underH2load(reach reach, share int) measure {
	return func(ctx context.Context, g *ground, p *process.Process, gateway string, o options) (report.Sample, error) {
		return metered(p, func() (float64, report.Sample, error) {
			suite, group := tls.CipherSuiteName(wantSuite), wantGroup.String()
			f, err := h2load.Run(ctx, h2load.Load{
				URL: reach.url(g, gateway) + "/plain/json", Connections: 8, Streams: 32, Duration: o.duration / time.Duration(share), Suite: suite, Group: group,
			})
			if err != nil {
				return 0, report.Sample{}, err
			}
			if reach == encrypted && (f.Protocol != "h2" || f.TLS != "TLSv1.3" || f.Suite != suite || !strings.HasPrefix(f.Key, group+" ")) {
				return 0, report.Sample{}, fmt.Errorf("negotiated %q, %q, %q, %q; want h2, TLSv1.3, %s, %s", f.Protocol, f.TLS, f.Suite, f.Key, suite, group)
			}
			return float64(f.Requests), report.Sample{Rate: f.PerSecond(), Errors: f.Errors}, nil
		}, time.Microsecond)
	}
}
