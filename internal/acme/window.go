package acme

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// window is when the authority would like a certificate to be replaced (RFC 9773 §4.2). Zero: it says nothing.
type window struct {
	start, end  time.Time
	explanation string    // a page for people, if the authority names one
	chosen      time.Time // our moment within
}

// window asks for the renewal window of leaf, and how long to wait before asking again (0: the authority does not say). An
// authority without the extension gives a zero window.
//
// The library's own question is not used: it takes a window of one second for malformed, which is what the test authority sends
// for a revoked certificate, and spends seven seconds on asking again.
func (iss *issuer) window(ctx context.Context, leaf *x509.Certificate) (window, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	directory, err := iss.client.GetDirectory(ctx)
	if err != nil {
		return window{}, 0, err
	}
	if directory.RenewalInfo == "" || len(leaf.AuthorityKeyId) == 0 {
		return window{}, 0, nil
	}
	id, err := acme.ARIUniqueIdentifier(leaf)
	if err != nil {
		return window{}, 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, directory.RenewalInfo+"/"+id, nil)
	if err != nil {
		return window{}, 0, err
	}
	request.Header.Set("User-Agent", userAgent)
	answer, err := iss.client.HTTPClient.Do(request)
	if err != nil {
		return window{}, 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	wait := retryAfter(answer.Header.Get("Retry-After"), time.Now())
	if answer.StatusCode != http.StatusOK {
		return window{}, wait, fmt.Errorf("renewal window: the authority answered %s", answer.Status)
	}
	var info struct {
		SuggestedWindow struct{ Start, End time.Time } `json:"suggestedWindow"`
		ExplanationURL  string                         `json:"explanationURL"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&info); err != nil {
		return window{}, wait, fmt.Errorf("renewal window: %w", err)
	}
	w := window{start: info.SuggestedWindow.Start, end: info.SuggestedWindow.End, explanation: printable(info.ExplanationURL, 200)}
	if w.start.IsZero() || !w.end.After(w.start) {
		return window{}, wait, fmt.Errorf("renewal window: it ends at %v, which is not after its start at %v", w.end, w.start)
	}
	return w, wait, nil
}

// retryAfter reads the field of RFC 9110 §10.2.3: seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
