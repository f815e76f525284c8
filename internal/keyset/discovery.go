package keyset

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"straum.dev/straum/internal/fetch"
	"straum.dev/straum/internal/token"
)

// Fetcher sends requests; *fetch.Client is one.
type Fetcher interface {
	Do(ctx context.Context, r fetch.Request) (fetch.Response, error)
}

// Document is what an issuer says about itself (OpenID Connect Discovery 1.0 §3).
type Document struct {
	URL  *url.URL       // where it stands
	JWKS *url.URL       // jwks_uri: where the issuer's keys are
	All  map[string]any // everything in it, as token.Object reads it; shared, never to be changed
}

// Endpoint reads a URL of the document under the same rules as jwks_uri: https://, or of the document's own scheme, host and port. It is nil
// without an error when the document has none.
func (d *Document) Endpoint(name string) (*url.URL, error) {
	raw, there := d.All[name]
	if !there {
		return nil, nil
	}
	text, ok := raw.(string)
	if !ok {
		return nil, fmt.Errorf("the discovery document's %s is no text", name)
	}
	u, err := fetch.CheckFound(text, d.URL)
	if err != nil {
		return nil, fmt.Errorf("the discovery document's %s: %w", name, err)
	}
	return u, nil
}

// DiscoveryURL is where the discovery document of an issuer stands. The issuer is a URL that fetch.CheckURL takes, without a query.
func DiscoveryURL(issuer string) (*url.URL, error) {
	if strings.Contains(issuer, "?") {
		return nil, errors.New("the issuer has a query (?); an issuer has none")
	}
	if _, err := fetch.CheckURL(issuer); err != nil {
		return nil, err
	}
	return fetch.CheckURL(strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration")
}

// Discover fetches the discovery document of an issuer. The document has to name exactly this issuer, or one issuer could speak for
// another.
func Discover(ctx context.Context, f Fetcher, issuer string) (*Document, error) {
	u, err := DiscoveryURL(issuer)
	if err != nil {
		return nil, err
	}
	response, err := f.Do(ctx, fetch.Request{URL: u, Header: fetch.Header{{Name: "Accept", Value: "application/json"}}})
	if err != nil {
		return nil, err
	}
	d, err := read(u, issuer, response)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", fetch.Place(u), err)
	}
	return d, nil
}

func read(u *url.URL, issuer string, response fetch.Response) (_ *Document, err error) {
	if response.Status != 200 {
		return nil, fmt.Errorf("the answer has status %d; it has to be 200", response.Status)
	}
	d := &Document{URL: u}
	if d.All, err = token.Object(response.Body); err != nil {
		return nil, fmt.Errorf("the discovery document is not the JSON it should be: %w", err)
	}
	if found, _ := d.All["issuer"].(string); found != issuer {
		return nil, fmt.Errorf("the discovery document is of the issuer %s; it has to be %s, character by character", quote(found), quote(issuer))
	}
	if d.JWKS, err = d.Endpoint("jwks_uri"); err != nil {
		return nil, err
	}
	if d.JWKS == nil {
		return nil, errors.New("the discovery document has no jwks_uri")
	}
	return d, nil
}
