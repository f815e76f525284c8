package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// The paths of the API, for Raw.
const (
	StatusPath       = "/v1/status"
	RoutesPath       = "/v1/routes"
	UpstreamsPath    = "/v1/upstreams"
	CertificatesPath = "/v1/certificates"
	CredentialsPath  = "/v1/credentials"
	BansPath         = "/v1/bans"
	RemoveBanPath    = "/v1/bans/remove"
	CachePath        = "/v1/cache"
	PurgeCachePath   = "/v1/cache/purge"
	ExplainCachePath = "/v1/cache/explain"
	BoxPath          = "/v1/box"
	ConfigPath       = "/v1/config"
	YAMLPath         = "/v1/config.yaml"
	ReloadPath       = "/v1/reload"
)

// UpstreamPath is the path of one upstream.
func UpstreamPath(name string) string { return UpstreamsPath + "/" + url.PathEscape(name) }

// BreakerPath is the path of its breaker.
func BreakerPath(name string) string { return UpstreamPath(name) + "/breaker" }

// Status asks how the gateway is doing.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, http.MethodGet, StatusPath, nil)
}

// Routes asks for limit rows of the compiled table from offset on.
func (c *Client) Routes(ctx context.Context, offset, limit int) (Routes, error) {
	return call[Routes](ctx, c, http.MethodGet, fmt.Sprintf("%s?offset=%d&limit=%d", RoutesPath, offset, limit), nil)
}

// Upstreams asks for all upstreams.
func (c *Client) Upstreams(ctx context.Context) ([]Upstream, error) {
	list, err := call[UpstreamList](ctx, c, http.MethodGet, UpstreamsPath, nil)
	return list.Upstreams, err
}

// Upstream asks for one upstream.
func (c *Client) Upstream(ctx context.Context, name string) (Upstream, error) {
	return call[Upstream](ctx, c, http.MethodGet, UpstreamPath(name), nil)
}

// SetBreaker holds the breaker of an upstream open or closed, or with auto lets it decide again.
func (c *Client) SetBreaker(ctx context.Context, name, state string) (Breaker, error) {
	return call[Breaker](ctx, c, http.MethodPost, BreakerPath(name), map[string]string{"state": state})
}

// Certificates asks for all certificates.
func (c *Client) Certificates(ctx context.Context) ([]Certificate, error) {
	list, err := call[CertificateList](ctx, c, http.MethodGet, CertificatesPath, nil)
	return list.Certificates, err
}

// Credentials asks for limit credentials from offset on, of one consumer or, when it is empty, of all.
func (c *Client) Credentials(ctx context.Context, consumer string, offset, limit int) (Credentials, error) {
	return call[Credentials](ctx, c, http.MethodGet, CredentialsQuery(consumer, offset, limit), nil)
}

// CredentialsQuery is the path that Credentials asks.
func CredentialsQuery(consumer string, offset, limit int) string {
	return fmt.Sprintf("%s?consumer=%s&offset=%d&limit=%d", CredentialsPath, url.QueryEscape(consumer), offset, limit)
}

// Bans asks for limit bans from offset on, of those that share addresses with a network or, when it is empty, of all.
func (c *Client) Bans(ctx context.Context, network string, offset, limit int) (BanList, error) {
	return call[BanList](ctx, c, http.MethodGet, BansQuery(network, offset, limit), nil)
}

// BansQuery is the path that Bans asks.
func BansQuery(network string, offset, limit int) string {
	return fmt.Sprintf("%s?network=%s&offset=%d&limit=%d", BansPath, url.QueryEscape(network), offset, limit)
}

// WhyBanned asks what is known of an address.
func (c *Client) WhyBanned(ctx context.Context, address string) (BanReasons, error) {
	return call[BanReasons](ctx, c, http.MethodGet, WhyBannedQuery(address), nil)
}

// WhyBannedQuery is the path that WhyBanned asks.
func WhyBannedQuery(address string) string {
	return BansPath + "/why?address=" + url.QueryEscape(address)
}

// AddBan bans a network.
func (c *Client) AddBan(ctx context.Context, o BanOrder) (Ban, error) {
	return call[Ban](ctx, c, http.MethodPost, BansPath, o)
}

// RemoveBan ends the ban of a network.
func (c *Client) RemoveBan(ctx context.Context, network string) (Ban, error) {
	return call[Ban](ctx, c, http.MethodPost, RemoveBanPath, BanRemoval{network})
}

// Cache asks for the figures of the cache.
func (c *Client) Cache(ctx context.Context) (CacheStat, error) {
	return call[CacheStat](ctx, c, http.MethodGet, CachePath, nil)
}

// PurgeCache removes what is stored, or makes it stale.
func (c *Client) PurgeCache(ctx context.Context, o PurgeOrder) (Purged, error) {
	return call[Purged](ctx, c, http.MethodPost, PurgeCachePath, o)
}

// ExplainCache asks what the cache would do with a request.
func (c *Client) ExplainCache(ctx context.Context, q CacheQuestion) (CacheExplanation, error) {
	return call[CacheExplanation](ctx, c, http.MethodPost, ExplainCachePath, q)
}

// Box asks for the machine below the gateway and what it does.
func (c *Client) Box(ctx context.Context) (Box, error) {
	return call[Box](ctx, c, http.MethodGet, BoxPath, nil)
}

// Config asks for the configuration in force, without its secrets.
func (c *Client) Config(ctx context.Context) (Configuration, error) {
	return call[Configuration](ctx, c, http.MethodGet, ConfigPath, nil)
}

// YAML asks for the same as text.
func (c *Client) YAML(ctx context.Context) ([]byte, error) {
	return c.Raw(ctx, http.MethodGet, YAMLPath, nil)
}

// Reload orders the gateway to read its configuration again.
func (c *Client) Reload(ctx context.Context) (Reloaded, error) {
	return call[Reloaded](ctx, c, http.MethodPost, ReloadPath, nil)
}
