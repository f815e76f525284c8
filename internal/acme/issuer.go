package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// userAgent is what the authority's operators see of us.
const userAgent = "straum"

// answerMost bounds what is read of one answer of the authority. The largest are chains, of some ten kilobytes.
const answerMost = 1 << 20

// issuer gets certificates from one directory on one set of terms. certmagic calls it through its Issuer interface with a
// request for a single name.
type issuer struct {
	m         *Manager
	terms     *terms
	key       string
	client    *acmez.Client
	transport *http.Transport

	mu      sync.Mutex // guards account: it is made once
	account *acme.Account
}

var _ certmagic.Issuer = (*issuer)(nil)

// orderKey is under what an attempt's order travels in its context.
type orderKey struct{}

// order is what certmagic cannot hand through: the certificate to be replaced, and whether to tell the authority.
type order struct {
	had  *x509.Certificate
	hint bool
}

// errOvertaken ends a renewal that somebody else has done while we waited for the lock.
var errOvertaken = errors.New("acme: another process has renewed the certificate")

func newIssuer(m *Manager, t *terms) (*issuer, error) {
	iss := &issuer{m: m, terms: t, key: issuerKey(t.directory)}
	iss.transport = &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: t.roots},
		TLSHandshakeTimeout:   30 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   ordersMost,
		ForceAttemptHTTP2:     true,
	}
	iss.client = &acmez.Client{
		Client: &acme.Client{
			Directory:    t.directory,
			HTTPClient:   &http.Client{Transport: bounded{iss.transport}, Timeout: time.Minute},
			UserAgent:    userAgent,
			PollInterval: m.options.timing.poll,
			PollTimeout:  m.options.timing.attempt,
			Logger:       slog.New(quiet{m.log.Handler()}),
		},
		ChallengeSolvers: map[string]acmez.Solver{},
	}
	if t.allows(HTTP01) {
		iss.client.ChallengeSolvers[HTTP01] = (*httpSolver)(&m.challenges)
	}
	if t.allows(TLSALPN01) {
		iss.client.ChallengeSolvers[TLSALPN01] = (*alpnSolver)(&m.challenges)
	}
	if t.allows(DNS01) {
		solver, err := t.dns.solver(m.zap, m.log)
		if err != nil {
			return nil, err
		}
		iss.client.ChallengeSolvers[DNS01] = solver
	}
	return iss, nil
}

func (iss *issuer) close() { iss.transport.CloseIdleConnections() }

// IssuerKey names the folder for the directory's certificates, in certmagic's manner.
func (iss *issuer) IssuerKey() string { return iss.key }

func issuerKey(directory string) string {
	u, err := url.Parse(directory)
	if err != nil {
		return certmagic.StorageKeys.Safe(directory)
	}
	key := u.Host
	if path := strings.Trim(strings.ReplaceAll(u.Path, "/", "-"), "-"); path != "" {
		key += "-" + path
	}
	return key
}

// Issue orders the certificate that csr asks for and waits for it.
func (iss *issuer) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	account, err := iss.useAccount(ctx)
	if err != nil {
		return nil, err
	}
	chains, err := iss.obtain(ctx, account, csr)
	if problem(err) == acme.ProblemTypeAccountDoesNotExist {
		// The authority was set up anew, as private ones are. Its word is final, so the account is made again.
		iss.m.log.Warn("the authority does not know our account any more: it is made again", "directory", iss.terms.directory)
		if account, err = iss.renewAccount(ctx, account); err != nil {
			return nil, err
		}
		chains, err = iss.obtain(ctx, account, csr)
	}
	if err != nil {
		return nil, err
	}
	if len(chains) == 0 {
		return nil, errors.New("the authority sent no certificate")
	}
	return &certmagic.IssuedCertificate{Certificate: chains[0].ChainPEM, Metadata: chains[0]}, nil
}

func (iss *issuer) obtain(ctx context.Context, account acme.Account, csr *x509.CertificateRequest) ([]acme.Certificate, error) {
	params, err := acmez.OrderParametersFromCSR(account, csr)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	params.Profile = iss.terms.profile
	if job, ok := ctx.Value(orderKey{}).(*order); ok && job.had != nil && job.hint {
		if directory, err := iss.client.GetDirectory(ctx); err == nil && directory.RenewalInfo != "" {
			params.Replaces = job.had
		}
	}
	return iss.client.ObtainCertificate(ctx, params)
}

// onEvent is called by certmagic when it holds the lock for a name. It ends a renewal that is no longer needed.
func (iss *issuer) onEvent(ctx context.Context, event string, data map[string]any) error {
	job, ok := ctx.Value(orderKey{}).(*order)
	if event != "cert_obtaining" || !ok || job.had == nil {
		return nil
	}
	name, _ := data["identifier"].(string)
	stored, err := iss.m.store.holding(ctx, iss.key, name)
	if err == nil && !stored.leaf().Equal(job.had) && stored.leaf().NotAfter.After(job.had.NotAfter) {
		return errOvertaken
	}
	return nil
}

// problem is the type of the authority's problem document in err, or "".
func problem(err error) string {
	var p acme.Problem
	if errors.As(err, &p) {
		return p.Type
	}
	return ""
}

// bounded ends answers that do not end.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, answerMost), answer.Body}
	}
	return answer, err
}
