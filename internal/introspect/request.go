package introspect

import (
	"context"
	"encoding/base64"
	"fmt"
	"mime"
	"net/url"
	"strings"

	"straum.dev/straum/internal/fetch"
	"straum.dev/straum/internal/token"
)

// ask sends one request (RFC 7662 §2.1) and gives the body of a good answer.
func (s *Source) ask(shown string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.settings.Timeout)
	defer cancel()
	response, err := s.asker.Do(ctx, s.settings.request(shown))
	if err != nil {
		return nil, unusable("%v", err)
	}
	switch response.Status {
	case 200:
	case 401, 403, 404, 405:
		// RFC 7662 §2.3: this is about our credential or our request, never about the token.
		return nil, fmt.Errorf("%w: it answers with status %d", ErrMisconfigured, response.Status)
	case 400:
		if ours(response.Body) {
			return nil, fmt.Errorf("%w: it answers with status 400 and the error of a wrong client", ErrMisconfigured)
		}
		return nil, errOdd
	default:
		return nil, unusable("it answers with status %d", response.Status)
	}
	if kind := response.Header.Get("Content-Type"); kind != "" {
		if media, _, err := mime.ParseMediaType(kind); err != nil || media != "application/json" {
			return nil, unusable("its answer is not application/json")
		}
	}
	return response.Body, nil
}

// ours says whether an error is about us (RFC 6749 §5.2).
func ours(body []byte) bool {
	members, err := token.Object(body[:min(len(body), maxAnswer)])
	if err != nil {
		return false
	}
	return members["error"] == "invalid_client" || members["error"] == "unauthorized_client"
}

// request is the question about a token.
func (s *Settings) request(shown string) fetch.Request {
	form := url.Values{"token": {shown}}
	if s.Hint != "" {
		form.Set("token_type_hint", s.Hint)
	}
	header := fetch.Header{{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}, {Name: "Accept", Value: "application/json"}}
	switch s.Auth {
	case Basic:
		// RFC 6749 §2.3.1: both are encoded as a form is before they are joined.
		pair := url.QueryEscape(s.ClientID) + ":" + url.QueryEscape(s.ClientSecret)
		header = append(header, fetch.Field{Name: "Authorization", Value: "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))})
	case Post:
		form.Set("client_id", s.ClientID)
		form.Set("client_secret", s.ClientSecret)
	case Bearer:
		header = append(header, fetch.Field{Name: "Authorization", Value: "Bearer " + s.Token})
	}
	return fetch.Request{Method: "POST", URL: s.URL, Header: header, Body: []byte(form.Encode())}
}

// Fit says whether text has the form of a bearer token (b64token, RFC 6750 §2.1) and is at most MaxToken bytes long.
func Fit(shown string) bool {
	if shown == "" || len(shown) > MaxToken {
		return false
	}
	body := strings.TrimRight(shown, "=")
	for i := range len(body) {
		switch c := body[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~', c == '+', c == '/':
		default:
			return false
		}
	}
	return body != ""
}

// MaxToken is the longest token that is asked about, in bytes.
const MaxToken = 8 << 10
