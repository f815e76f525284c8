package client

import (
	"encoding/json"
	"time"
)

// The types of the API's JSON, in the order of its endpoints. What each field means stands in /openapi.json.

// Status is how the gateway is doing.
type Status struct {
	Version   string     `json:"version"`
	Commit    string     `json:"commit,omitempty"`
	Started   time.Time  `json:"started"`
	Uptime    float64    `json:"uptime_seconds"`
	Ready     bool       `json:"ready"`
	NotReady  []Reason   `json:"not_ready,omitempty"`
	Attention []Reason   `json:"attention,omitempty"`
	Revision  Serving    `json:"revision"`
	Listeners []Listener `json:"listeners"`
	TLS       *TLS       `json:"tls,omitempty"`
	Requests  Requests   `json:"requests"`
	AccessLog AccessLog  `json:"access_log"`
	Process   Process    `json:"process"`
	Box       *BoxStatus `json:"box,omitempty"`
}

// Serving tells which configuration serves, and how the last attempt to change it went.
type Serving struct {
	Number   int        `json:"number"`
	Loaded   *time.Time `json:"loaded,omitempty"`
	File     string     `json:"file,omitempty"`
	LastTry  *time.Time `json:"last_try,omitempty"`
	Problems []Mistake  `json:"problems,omitempty"`
	More     int        `json:"more_problems,omitempty"`
	Accepted uint64     `json:"accepted"`
	Refused  uint64     `json:"refused"`
}

// Reason is one thing that keeps the gateway from being ready.
type Reason struct {
	Check  string `json:"check"`
	Reason string `json:"reason"`
}

// Listener are the figures of one listener since it was opened.
type Listener struct {
	Name       string  `json:"name"`
	Address    string  `json:"address"`
	Draining   bool    `json:"draining"`
	Sockets    int     `json:"sockets"`
	Open       int64   `json:"open"`
	Parked     int     `json:"parked"`
	Goroutines int64   `json:"goroutines"`
	Accepted   uint64  `json:"accepted"`
	Refused    Refused `json:"refused"`
	Queued     int     `json:"queued"`
	Backlog    int     `json:"backlog"`
	Pauses     Pauses  `json:"pauses"`
	FastOpen   string  `json:"fast_open"`

	Handshakes *Handshakes `json:"handshakes,omitempty"`
}

// Refused counts connections by why they were closed.
type Refused struct {
	Client     uint64 `json:"client"`
	Banned     uint64 `json:"banned"`
	Proxy      uint64 `json:"proxy"`
	Evicted    uint64 `json:"evicted"`
	Expired    uint64 `json:"expired"`
	Unparkable uint64 `json:"unparkable"`
}

// Pauses counts stops of accepting by what ran out.
type Pauses struct {
	Limit       uint64 `json:"limit"`
	Descriptors uint64 `json:"descriptors"`
	Other       uint64 `json:"other"`
}

// TLS is how the encryption of listeners stands.
type TLS struct {
	Handshakes   Handshakes `json:"handshakes"`
	Certificates int        `json:"certificates"`
	Ends         *time.Time `json:"first_not_after,omitempty"`
	Tickets      *Tickets   `json:"tickets,omitempty"`
}

// Handshakes are the TLS handshakes of clients.
type Handshakes struct {
	Full         uint64    `json:"full"`
	Resumed      uint64    `json:"resumed"`
	ResumedShare float64   `json:"resumed_share"`
	UnderWay     int       `json:"under_way"`
	Ceiling      int       `json:"ceiling"`
	Failed       []Failure `json:"failed"`
}

// Failure counts handshakes that did not succeed for one reason.
type Failure struct {
	Reason  string `json:"reason"`
	Count   uint64 `json:"count"`
	Meaning string `json:"meaning"`
}

// Tickets are the keys of session tickets.
type Tickets struct {
	Rotated *time.Time `json:"rotated,omitempty"`
	Next    *time.Time `json:"next,omitempty"`
	Problem string     `json:"problem,omitempty"`
}

// Requests are the exchanges since the start.
type Requests struct {
	Total  uint64          `json:"total"`
	Faulty uint64          `json:"faulty"`
	Routes []RouteRequests `json:"routes"`
}

// RouteRequests are the exchanges of one route.
type RouteRequests struct {
	Route    string    `json:"route"`
	Total    uint64    `json:"total"`
	Faulty   uint64    `json:"faulty"`
	Duration Quantiles `json:"duration"`
	Own      Quantiles `json:"own"`
	OwnShare float64   `json:"own_share"`
}

// Quantiles are in seconds.
type Quantiles struct {
	P50 float64 `json:"p50_seconds"`
	P95 float64 `json:"p95_seconds"`
	P99 float64 `json:"p99_seconds"`
}

// AccessLog are the figures of the access log.
type AccessLog struct {
	Written  uint64 `json:"written"`
	Bytes    uint64 `json:"bytes"`
	Waiting  uint64 `json:"waiting"`
	Lost     Lost   `json:"lost"`
	Failures uint64 `json:"failures"`
	Failing  bool   `json:"failing"`
	Error    string `json:"error,omitempty"`
}

// Lost counts lines by what stood in their way.
type Lost struct {
	Slow    uint64 `json:"slow"`
	Failing uint64 `json:"failing"`
	Closed  uint64 `json:"closed"`
	Matter  uint64 `json:"important"`
}

// Process is what the process takes of the box.
type Process struct {
	PID             int    `json:"pid"`
	Memory          uint64 `json:"memory_bytes"`
	Heap            uint64 `json:"heap_bytes"`
	Goroutines      int    `json:"goroutines"`
	Descriptors     int    `json:"descriptors"`
	DescriptorLimit uint64 `json:"descriptor_limit"`
}

// Routes are a stretch of the compiled table.
type Routes struct {
	Revision int     `json:"revision"`
	Total    int     `json:"total"`
	Routes   []Route `json:"routes"`
}

// Route is one row of the table: a route under one host and one path.
type Route struct {
	Name       string   `json:"name"`
	Host       string   `json:"host"`
	Path       string   `json:"path"`
	Methods    []string `json:"methods,omitempty"`
	Conditions []string `json:"conditions,omitempty"`
	Upstream   string   `json:"upstream,omitempty"`
	Rewrite    string   `json:"rewrite,omitempty"`
	Policies   []string `json:"policies,omitempty"`
	Source     string   `json:"source,omitempty"`
	Why        string   `json:"why"`
}

// UpstreamList are all upstreams.
type UpstreamList struct {
	Upstreams []Upstream `json:"upstreams"`
}

// Upstream are the figures of one upstream.
type Upstream struct {
	Name        string     `json:"name"`
	Balance     string     `json:"balance"`
	Usable      int        `json:"usable_endpoints"`
	RetryBudget float64    `json:"retry_budget"`
	Breaker     *Breaker   `json:"breaker,omitempty"`
	Pool        Pool       `json:"pool"`
	Endpoints   []Endpoint `json:"endpoints"`
}

// Breaker is where a breaker stands.
type Breaker struct {
	State       string  `json:"state"`
	For         float64 `json:"for_seconds"`
	RetryIn     float64 `json:"retry_in_seconds,omitempty"`
	Active      int64   `json:"active"`
	Consecutive int64   `json:"consecutive_failures"`
	Window      Window  `json:"window"`
	Trips       int     `json:"trips"`
	Probing     int     `json:"probing"`
	Successes   int     `json:"successes"`
}

// Window counts the requests of the last seconds.
type Window struct {
	Calls  int `json:"calls"`
	Errors int `json:"errors"`
	Slow   int `json:"slow"`
}

// Endpoint are the figures of one endpoint.
type Endpoint struct {
	Address  string  `json:"address"`
	Name     string  `json:"name,omitempty"`
	Usable   bool    `json:"usable"`
	Health   string  `json:"health"`
	Detail   string  `json:"detail,omitempty"`
	Ejected  bool    `json:"ejected"`
	Active   int64   `json:"active"`
	Latency  float64 `json:"latency_seconds"`
	Answered uint64  `json:"answered"`
	Failed   uint64  `json:"failed"`
	Pool     Pool    `json:"pool"`
}

// Pool are the figures of the connections to one endpoint, or to all of an upstream.
type Pool struct {
	Open       int64    `json:"open"`
	Idle       int      `json:"idle"`
	Streams    int      `json:"streams"`
	Waiting    int64    `json:"waiting"`
	Reused     uint64   `json:"reused"`
	Opened     uint64   `json:"opened"`
	ReuseShare float64  `json:"reuse_share"`
	OpenedBy   []Opened `json:"opened_by"`
}

// Opened counts openings of connections for one reason.
type Opened struct {
	Reason  string `json:"reason"`
	Count   uint64 `json:"count"`
	Meaning string `json:"meaning"`
}

// CertificateList are all certificates.
type CertificateList struct {
	Certificates []Certificate `json:"certificates"`
}

// Certificate is how one certificate stands.
type Certificate struct {
	Names       []string   `json:"names"`
	Kind        string     `json:"kind,omitempty"`
	Issuer      string     `json:"issuer,omitempty"`
	Serial      string     `json:"serial,omitempty"`
	Begins      *time.Time `json:"not_before,omitempty"`
	Ends        *time.Time `json:"not_after,omitempty"`
	Left        float64    `json:"expires_in_seconds,omitempty"`
	Source      string     `json:"source"`
	CertFile    string     `json:"cert_file,omitempty"`
	KeyFile     string     `json:"key_file,omitempty"`
	ToEndpoints bool       `json:"shown_to_endpoints"`
	State       string     `json:"state"`
	Stapling    string     `json:"stapling,omitempty"`
	Loaded      *time.Time `json:"loaded,omitempty"`
	Swaps       uint64     `json:"swaps"`
	Refusals    uint64     `json:"refusals"`
	NextTry     *time.Time `json:"next_try,omitempty"`
	Why         string     `json:"why,omitempty"`
	Failures    int        `json:"failures"`
	Attention   []string   `json:"attention,omitempty"`
}

// Configuration is the configuration in force.
type Configuration struct {
	Revision int             `json:"revision"`
	Files    []string        `json:"files"`
	Config   json.RawMessage `json:"config"`
}

// Reloaded is what became of an order to reload.
type Reloaded struct {
	Revision int  `json:"revision"`
	Changed  bool `json:"changed"`
}

// Credentials are a stretch of the credentials in force.
type Credentials struct {
	Consumers   int          `json:"consumers"`
	Total       int          `json:"total"`
	Credentials []Credential `json:"credentials"`
}

// Credential is what is known of a credential besides its secret.
type Credential struct {
	ID       string     `json:"id"`
	Kind     string     `json:"kind"`
	Consumer string     `json:"consumer"`
	Plan     string     `json:"plan,omitempty"`
	Groups   []string   `json:"groups,omitempty"`
	Scopes   []string   `json:"scopes,omitempty"`
	Expires  *time.Time `json:"expires,omitempty"`
	Expired  bool       `json:"expired"`
	LastUsed *time.Time `json:"last_used,omitempty"`
}

// BanList are a stretch of the bans.
type BanList struct {
	On     bool        `json:"on"`
	DryRun bool        `json:"dry_run"`
	Total  int         `json:"total"`
	Bans   []Ban       `json:"bans"`
	Kernel *KernelBans `json:"kernel,omitempty"`
}

// KernelBans is how the kernel's side of bans stands.
type KernelBans struct {
	Given   int    `json:"given"`
	LeftOut int    `json:"left_out"`
	Problem string `json:"problem,omitempty"`
}

// Ban is a network that is refused.
type Ban struct {
	Network string     `json:"network"`
	How     string     `json:"how"`
	InForce bool       `json:"in_force"`
	Began   time.Time  `json:"began"`
	Until   *time.Time `json:"until,omitempty"`
	Count   int        `json:"count"`
	Reason  string     `json:"reason,omitempty"`
	By      string     `json:"by,omitempty"`
}

// BanReasons is what is known of an address.
type BanReasons struct {
	Address   string        `json:"address"`
	Network   string        `json:"network"`
	On        bool          `json:"on"`
	DryRun    bool          `json:"dry_run"`
	How       string        `json:"how"`
	Bans      []Ban         `json:"bans"`
	Count     int           `json:"count"`
	Forgotten *time.Time    `json:"forgotten,omitempty"`
	Score     float64       `json:"score"`
	Threshold float64       `json:"threshold"`
	Signals   []SignalScore `json:"signals"`
	Consumers int           `json:"consumers"`
	Spares    int           `json:"spares"`
	Never     *NeverBanned  `json:"never,omitempty"`
}

// SignalScore are the points for one signal.
type SignalScore struct {
	Signal string  `json:"signal"`
	Points float64 `json:"points"`
}

// NeverBanned is why an address is never banned.
type NeverBanned struct {
	Network string `json:"network"`
	Why     string `json:"why"`
}

// BanOrder bans a network: an IPv6 address stands for its /64.
type BanOrder struct {
	Network string `json:"network"`
	For     int64  `json:"for_seconds"` // 0: until it is removed
	How     string `json:"how,omitempty"`
	Reason  string `json:"reason,omitempty"`
	By      string `json:"by,omitempty"`
}

// BanRemoval ends a ban.
type BanRemoval struct {
	Network string `json:"network"`
}

// CacheStat are the figures of the cache.
type CacheStat struct {
	Stores      []CacheStore `json:"stores"`
	UnderWay    int          `json:"under_way"`
	Collapsed   uint64       `json:"collapsed"`
	Renewals    Renewals     `json:"renewals"`
	Invalidated uint64       `json:"invalidated"`
	Purges      int          `json:"purges"`
	NotStored   []NotStored  `json:"not_stored"`
	NotStoredIn uint64       `json:"not_stored_total"`
}

// CacheStore are the figures of one store.
type CacheStore struct {
	Store   string  `json:"store"`
	Healthy bool    `json:"healthy"`
	Problem string  `json:"problem,omitempty"`
	Objects int     `json:"objects"`
	Bytes   int64   `json:"bytes"`
	Room    int64   `json:"room_bytes"`
	Hits    uint64  `json:"hits"`
	Misses  uint64  `json:"misses"`
	Share   float64 `json:"hit_share"`
	Stored  uint64  `json:"stored"`
	Evicted uint64  `json:"evicted"`
	Dropped uint64  `json:"dropped"`
	Failed  uint64  `json:"failed"`
	Waited  float64 `json:"waited_seconds"`
}

// Renewals are requests to endpoints that nobody waited for.
type Renewals struct {
	Begun   uint64 `json:"begun"`
	Failed  uint64 `json:"failed"`
	Skipped uint64 `json:"skipped"`
}

// NotStored counts answers that were not stored for one reason.
type NotStored struct {
	Why     string `json:"why"`
	Count   uint64 `json:"count"`
	Meaning string `json:"meaning,omitempty"`
}

// PurgeOrder says what is to be purged: one of URL, Prefix, Tag and All.
type PurgeOrder struct {
	URL    string `json:"url,omitempty"`
	Prefix string `json:"prefix,omitempty"`
	Tag    string `json:"tag,omitempty"`
	All    bool   `json:"all,omitempty"`
	Soft   bool   `json:"soft,omitempty"`
}

// Purged is what a purge did.
type Purged struct {
	Removed int    `json:"removed"`
	Soft    bool   `json:"soft"`
	Later   string `json:"fleet_later,omitempty"`
}

// CacheQuestion is a request that nobody sends.
type CacheQuestion struct {
	URL      string         `json:"url"`
	Method   string         `json:"method,omitempty"`
	Headers  []RequestField `json:"headers,omitempty"`
	Consumer string         `json:"consumer,omitempty"`
	Issuer   string         `json:"issuer,omitempty"`
	Subject  string         `json:"subject,omitempty"`
}

// RequestField is a field of a request.
type RequestField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// CacheExplanation says what the cache would do with a request.
type CacheExplanation struct {
	Route   string         `json:"route"`
	Method  string         `json:"method"`
	URL     string         `json:"url"`
	Outcome string         `json:"outcome"`
	Rules   []CacheRule    `json:"rules"`
	Stored  *CacheStored   `json:"stored,omitempty"`
	Last    string         `json:"last_not_stored,omitempty"`
	Key     []CacheKeyPart `json:"key"`
}

// CacheKeyPart is one part of a key.
type CacheKeyPart struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// CacheRule is one rule and what came of it.
type CacheRule struct {
	Rule   string `json:"rule"`
	Source string `json:"source"`
	Found  string `json:"found"`
	Result string `json:"result"`
}

// CacheStored is what is stored for a request.
type CacheStored struct {
	Store             string   `json:"store"`
	Status            int      `json:"status"`
	Age               float64  `json:"age_seconds"`
	Lifetime          float64  `json:"lifetime_seconds"`
	Left              float64  `json:"left_seconds"`
	WhileRevalidating float64  `json:"while_revalidating_seconds"`
	IfError           float64  `json:"if_error_seconds"`
	ETag              string   `json:"etag,omitempty"`
	Vary              []string `json:"vary,omitempty"`
	Variants          int      `json:"variants,omitempty"`
	Bytes             int64    `json:"bytes"`
	Tags              []string `json:"tags,omitempty"`
}
