package staple

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/crypto/ocsp"
)

const (
	// maxAnswer bounds a response, in bytes; common ones have 300 to 2,000.
	maxAnswer = 64 << 10
	// maxTime bounds one question and its answer.
	maxTime = 10 * time.Second
)

// Client is an HTTP client fit for responders: no proxy, no redirects, no connections kept.
func Client() *http.Client {
	return &http.Client{
		Timeout: maxTime,
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: maxTime}).DialContext,
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask sends the question about s to a responder (RFC 6960 appendix A.1) and verifies the answer.
func (s *subject) ask(ctx context.Context, client *http.Client, responder string, now func() time.Time) (answer, error) {
	question, err := ocsp.CreateRequest(s.leaf, s.issuer, nil)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, responder, bytes.NewReader(question))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/ocsp-request")
	request.Header.Set("Accept", "application/ocsp-response")
	response, err := client.Do(request)
	if err != nil {
		var where *url.Error // names the responder, as the text around it does
		if errors.As(err, &where) {
			err = where.Err
		}
		return answer{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("it answered with status %d; wanted 200", response.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return answer{}, err
	}
	if len(raw) > maxAnswer {
		return answer{}, fmt.Errorf("its answer is larger than %d bytes", maxAnswer)
	}
	return s.read(raw, now())
}
