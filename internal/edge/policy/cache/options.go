package cache

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"straum.dev/straum/internal/document"
)

// Options are those of the policy. All may be left out: then answers are kept as the standards say.
type Options struct {
	TTL                  duration            `yaml:"ttl" default:"0" range:"0|1s..8784h" doc:"For how long answers are fresh after they came, whatever they say of it; those of 400 and above say for themselves. 0 leaves it to all. It breaks RFC 9111 §4.2.1."`
	TTLByStatus          map[string]duration `yaml:"ttl_by_status" length:"1..64" pattern:"^[2-5]([0-9][0-9]|xx)$" form:"a status such as 404, or a class such as 5xx" doc:"The same by status or class of statuses, in place of ttl; 1s to 8784h. It breaks RFC 9111 §4.2.1."`
	DefaultTTL           duration            `yaml:"default_ttl" default:"0" range:"0|1s..8784h" doc:"For how long answers are fresh that say nothing of it, in place of the guess of heuristic, and only where RFC 9111 §4.2.2 allows one."`
	Heuristic            percent             `yaml:"heuristic" default:"10%" range:"0%..100%" doc:"How much of the time since an answer was last modified it is taken to be fresh, when it says nothing (RFC 9111 §4.2.2). 0% never guesses."`
	HeuristicMax         duration            `yaml:"heuristic_max" default:"1h" range:"1s..8784h" doc:"The longest such guess."`
	StaleWhileRevalidate duration            `yaml:"stale_while_revalidate" default:"0" range:"0|1s..8784h" doc:"How long an answer that does not say so itself may be used stale while it is renewed (RFC 5861 §3)."`
	StaleIfError         duration            `yaml:"stale_if_error" default:"0" range:"0|1s..8784h" doc:"How long an answer that does not say so itself may be used stale when it cannot be renewed (RFC 5861 §4)."`
	Statuses             []statuses          `yaml:"statuses,one" length:"1..64" doc:"The statuses that may be stored. All that the standards allow when left out."`
	Query                Query               `yaml:"query" doc:"What of the query is part of the key: all, none, or a mapping. Leaving parts out breaks RFC 9111 §2, whose key is the whole URI."`
	Headers              []string            `yaml:"headers,one" length:"1..16" doc:"Fields of requests that are part of the key, besides those that answers name in Vary."`
	Cookies              []string            `yaml:"cookies,one" length:"1..16" doc:"Cookies that are part of the key."`
	By                   string              `yaml:"by" default:"all" enum:"all,consumer" doc:"Whom stored answers are for: consumer gives each consumer a part of the cache of its own, with what is private to it. That breaks RFC 9111 §3, which keeps these out of shared caches; it is right as long as a consumer is one who sees the same."`
	IgnoreClient         bool                `yaml:"ignore_client" default:"false" doc:"Ignore no-cache, max-age, min-fresh and Pragma of requests. It breaks RFC 9111 §5.2.1, where clients count on what is only advice."`
	StripCookies         bool                `yaml:"strip_cookies" default:"false" doc:"Store answers with Set-Cookie, without that field."`
	StoreCookies         bool                `yaml:"store_cookies" default:"false" doc:"Store answers with Set-Cookie, with that field: everybody gets the cookie that the first one got. RFC 9111 §7.3 allows it; a session in it becomes everybody's."`
	Targets              []string            `yaml:"targets" default:"cdn-cache-control" length:"0..8" doc:"Targeted fields that come before Cache-Control: the first that is there counts (RFC 9213)."`
	Wait                 duration            `yaml:"wait" default:"5s" range:"0|10ms..5m" doc:"How long a request waits for an answer that another has asked for already. After that it asks itself; 0 never waits."`
	RenewWithin          duration            `yaml:"renew_within" default:"30s" range:"100ms..10m" doc:"How long a renewal in the background may take."`
	Early                percent             `yaml:"early" default:"10%" range:"0%..50%" doc:"The last part of the lifetime of an answer in which, when it is popular, it is renewed before anybody finds it stale. 0% never does."`
	Variants             int                 `yaml:"variants" default:"64" range:"1..1024" doc:"How many answers to one URL that differ by Vary are kept; the oldest goes for a new one."`
	MaxObject            document.Size       `yaml:"max_object" default:"0" range:"0|1KiB..16GiB" doc:"The longest content that is stored; 0 is what cache.max_object and its likes allow."`
	CacheStatus          bool                `yaml:"cache_status" default:"true" doc:"Tell clients in the field Cache-Status what the cache did (RFC 9211)."`
}

// Query says which part of the query is in the key.
type Query struct {
	Mode    string   `yaml:"-,short" default:"all" enum:"all,none"`
	Only    []string `yaml:"only,one" length:"1..64" doc:"The names of parameters that count; others do not."`
	Without []string `yaml:"without,one" length:"1..64" doc:"The names of parameters that do not count, such as utm_source; all others do."`
	Sort    bool     `yaml:"sort" default:"false" doc:"Parameters count in whatever order they come. Those of one name keep their order."`

	_ struct{} `atmost:"only,without"`
}

type (
	duration = document.Duration
	percent  = document.Percent
)

const (
	hour       = duration(time.Hour)
	byConsumer = "consumer"
)

// statuses are one status or a class of them.
type statuses struct{ from, to int }

// Form implements document.Scalar.
func (*statuses) Form() document.Form {
	return document.Form{Noun: "a status such as 404, or a class such as 5xx", Type: "status, class", Pattern: "^[2-5]([0-9][0-9]|xx)$", Number: true}
}

// ParseText implements document.Scalar.
func (s *statuses) ParseText(text string) error {
	if class, is := strings.CutSuffix(text, "xx"); is && len(class) == 1 && class >= "2" && class <= "5" {
		from := int(class[0]-'0') * 100
		*s = statuses{from, from + 99}
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || len(text) != 3 || n < 200 || n > 599 {
		return errors.New("which is no status from 200 to 599")
	}
	*s = statuses{n, n}
	return nil
}

// String is how it is written.
func (s statuses) String() string {
	if s.from == s.to {
		return strconv.Itoa(s.from)
	}
	return strconv.Itoa(s.from/100) + "xx"
}
