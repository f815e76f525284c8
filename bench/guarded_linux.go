package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"straum.dev/straum/bench/handshake"
	"straum.dev/straum/bench/process"
	"straum.dev/straum/bench/report"
	"straum.dev/straum/bench/wrk"
)

// Paths of the scenarios with tokens. What is asked of a token is the same on both.
const (
	guarded = "/guarded/json" // as each gateway comes: Straum remembers, its peers verify
	anew    = "/anew/json"    // Straum is held to verify too
	front   = "/front/json"   // more policies: see the scenario
	tight   = "/tight/json"   // the same limit, but for one request
)

// underTokens is a scenario of many small exchanges over TLS, with the tokens of a file in turn.
func underTokens(file, path, origin string) measure {
	return func(ctx context.Context, g *ground, p *process.Process, gateway string, o options) (report.Sample, error) {
		return metered(p, func() (float64, report.Sample, error) {
			figures, err := wrk.Run(ctx, g.dir, wrk.Load{
				URL: encrypted.url(g, gateway) + path, Connections: 64, Duration: o.duration / 2, Env: g.opensslEnv(),
				Tokens: filepath.Join(g.dir, file), Origin: origin,
			})
			if err == nil && figures.Errors > 0 {
				err = fmt.Errorf("%d of %d answers were errors: refusing a good token costs less than serving it", figures.Errors, figures.Requests)
			}
			return float64(figures.Requests), report.Sample{
				Rate: figures.PerSecond(), P50: figures.P50, P99: figures.P99,
			}, err
		}, time.Microsecond)
	}
}

// remembering is nginx with a script that verifies a token once and then knows it. It is a program of its own: what it
// keeps, its collector has to walk through, and nginx as it comes must not pay for that.
func remembering() []variant {
	return []variant{{name: "nginx, remembering", of: "nginx", gateway: "kept"}}
}

// checkGuarded shows the gateway a good token and every bad one: a gateway that is not asked to refuse them, or does
// not, does less than the others.
func checkGuarded(ctx context.Context, g *ground, gateway, path string) error {
	text, err := os.ReadFile(filepath.Join(g.dir, oneToken))
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: handshake.Config(serverName, tls.NewLRUClientSessionCache(1))}}
	defer client.CloseIdleConnections()
	good := string(bytes.TrimSpace(text))
	// The good one comes before the bad ones and after them: what is remembered of it must help none of them, nor they harm it.
	for range 2 {
		if err := shown(ctx, client, encrypted.url(g, gateway)+path, good, http.StatusOK); err != nil {
			return fmt.Errorf("a good token: %w", err)
		}
		for what, token := range g.badTokens {
			if err := shown(ctx, client, encrypted.url(g, gateway)+path, token, http.StatusUnauthorized); err != nil {
				return fmt.Errorf("a bad token (%s): %w", what, err)
			}
		}
	}
	return nil
}

// frontOrigin is the origin that browsers may call from.
const frontOrigin = "https://app.test"

// checkFront sees whether the gateway counts by caller, and whether it tells browsers that they may call, and from where alone.
func checkFront(ctx context.Context, g *ground, gateway string) error {
	text, err := os.ReadFile(filepath.Join(g.dir, manyTokens))
	if err != nil {
		return err
	}
	tokens := strings.Fields(string(text))
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: handshake.Config(serverName, tls.NewLRUClientSessionCache(1))}}
	defer client.CloseIdleConnections()
	for _, ask := range []struct {
		caller, want int
	}{{1, http.StatusOK}, {2, http.StatusOK}, {1, http.StatusTooManyRequests}} {
		if err := shown(ctx, client, encrypted.url(g, gateway)+tight, tokens[ask.caller], ask.want); err != nil {
			return fmt.Errorf("caller %d at the limit: %w", ask.caller, err)
		}
	}
	if err := preflight(ctx, client, encrypted.url(g, gateway)+front, frontOrigin); err != nil {
		return err
	}
	for origin, want := range map[string]string{frontOrigin: frontOrigin, "https://other.test": ""} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, encrypted.url(g, gateway)+front, nil)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+tokens[0])
		request.Header.Set("Origin", origin)
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		answer.Body.Close()
		if got := answer.Header.Get("Access-Control-Allow-Origin"); got != want || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			return fmt.Errorf("asked from %s: Access-Control-Allow-Origin is %q, want %q; or the other fields are missing: %v", origin, got, want, answer.Header)
		}
	}
	return nil
}

// preflight asks as a browser does before it calls: without a token.
func preflight(ctx context.Context, client *http.Client, url, origin string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodOptions, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Origin", origin)
	request.Header.Set("Access-Control-Request-Method", http.MethodPost)
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode/100 != 2 || answer.Header.Get("Access-Control-Allow-Origin") != origin || !strings.Contains(answer.Header.Get("Access-Control-Allow-Methods"), http.MethodPost) {
		return fmt.Errorf("a browser that asks first is answered %s with %v", answer.Status, answer.Header)
	}
	return nil
}

// shown asks once with the token, or without one, and wants the status.
func shown(ctx context.Context, client *http.Client, url, token string, want int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := discard(answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != want {
		return fmt.Errorf("answered %s, want %d", answer.Status, want)
	}
	return nil
}
