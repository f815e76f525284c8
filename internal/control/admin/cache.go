package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"straum.dev/straum/internal/edge"
	"straum.dev/straum/internal/edge/cache"
	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/exchange"
)

// Cache is the gateway's cache; *cache.Cache is one.
type Cache interface {
	Stat() cache.Stat
	Purge(cache.Purge) (count int, err error)
}

// CacheStat are the figures of the cache since the process started, but for those of now.
type CacheStat struct {
	Stores      []CacheStore `json:"stores" nullable:"false" doc:"Those that the configuration has: memory, disk, redis."`
	UnderWay    int          `json:"under_way" doc:"Answers of endpoints that others may share, now."`
	Collapsed   uint64       `json:"collapsed" doc:"Requests that were answered with what another had asked for."`
	Renewals    Renewals     `json:"renewals"`
	Invalidated uint64       `json:"invalidated" doc:"URLs of which nothing stored is used any more because another method than GET changed something there."`
	Purges      int          `json:"purges" doc:"Purges that are still compared with what is stored: by URL, prefix, tag, all, and of this gateway itself when it may have missed what the fleet deleted."`
	NotStored   []NotStored  `json:"not_stored" nullable:"false" doc:"Answers that were not stored, by why; the most first."`
	NotStoredIn uint64       `json:"not_stored_total" doc:"All of them."`
}

// CacheStore are the figures of one store.
type CacheStore struct {
	Store   string  `json:"store" enum:"memory,disk,redis"`
	Healthy bool    `json:"healthy" doc:"False when it takes or gives nothing. Requests go on without it."`
	Problem string  `json:"problem,omitempty" doc:"Why."`
	Objects int     `json:"objects" doc:"Stored answers, and lists of variants. Of the shared store none is known."`
	Bytes   int64   `json:"bytes" doc:"What they take."`
	Room    int64   `json:"room_bytes" doc:"What they may take."`
	Hits    uint64  `json:"hits" doc:"Look-ups that found something, fresh or not. An answer that varies takes two, and an explanation counts too."`
	Misses  uint64  `json:"misses"`
	Share   float64 `json:"hit_share" doc:"0 to 1."`
	Stored  uint64  `json:"stored"`
	Evicted uint64  `json:"evicted" doc:"Given up to make room for others; not known of the shared store."`
	Dropped uint64  `json:"dropped" doc:"Not stored, because the store had no room or was too slow."`
	Failed  uint64  `json:"failed" doc:"Damaged, or an error of the disk or of the shared store."`
	Waited  float64 `json:"waited_seconds" doc:"How long requests have waited for it, all together."`
}

// Renewals are requests to endpoints that nobody waited for.
type Renewals struct {
	Begun   uint64 `json:"begun" doc:"All but those skipped."`
	Failed  uint64 `json:"failed" doc:"Of them those that brought nothing to use."`
	Skipped uint64 `json:"skipped" doc:"Not begun, since as many as may be were under way."`
}

// NotStored counts answers that were not stored for one reason.
type NotStored struct {
	Why     string `json:"why" doc:"As in the field cache_why of the access log."`
	Count   uint64 `json:"count"`
	Meaning string `json:"meaning,omitempty"`
}

// noCache is a gateway without one.
func noCache() error {
	return newProblem(http.StatusConflict, "this gateway has no cache")
}

func (a *Admin) getCache(context.Context, *struct{}) (*struct{ Body CacheStat }, error) {
	out := CacheStat{Stores: []CacheStore{}, NotStored: []NotStored{}}
	if a.sources.Cache == nil {
		return &struct{ Body CacheStat }{out}, nil
	}
	s := a.sources.Cache.Stat()
	for _, store := range []struct {
		name string
		of   *cache.StoreStat
	}{{"memory", s.Memory}, {"disk", s.Disk}, {"redis", s.Redis}} {
		if store.of != nil {
			out.Stores = append(out.Stores, showStore(store.name, store.of))
		}
	}
	out.UnderWay, out.Collapsed, out.Purges, out.Invalidated = s.Flights, s.Collapsed, s.Purges, s.Invalidated
	out.Renewals = Renewals{Begun: s.Renewals, Failed: s.RenewalsFailed, Skipped: s.RenewalsSkipped}
	for why, n := range s.Unstored {
		out.NotStored = append(out.NotStored, NotStored{why, n, cache.Explain(freshness.Why(why))})
		out.NotStoredIn += n
	}
	slices.SortFunc(out.NotStored, func(a, b NotStored) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Why, b.Why))
	})
	return &struct{ Body CacheStat }{out}, nil
}

func showStore(name string, s *cache.StoreStat) CacheStore {
	out := CacheStore{Store: name, Healthy: s.Healthy, Problem: s.Why, Objects: s.Objects, Bytes: s.Bytes, Room: s.Room, Hits: s.Hits, Misses: s.Misses,
		Stored: s.Stored, Evicted: s.Evicted, Dropped: s.Dropped, Failed: s.Failed, Waited: s.Waited.Seconds()}
	if all := s.Hits + s.Misses; all > 0 {
		out.Share = float64(s.Hits) / float64(all)
	}
	return out
}

type purgeOrder struct {
	Body struct {
		_      struct{} `additionalProperties:"false"`
		URL    string   `json:"url,omitempty" maxLength:"8192" doc:"What is stored of one URL, with all its variants, on every route; with any query when it ends in ?*."`
		Prefix string   `json:"prefix,omitempty" maxLength:"8192" doc:"Whatever is stored of URLs that begin so: scheme, host and port whole, then as much of the path as there is."`
		Tag    string   `json:"tag,omitempty" maxLength:"1024" doc:"Whatever was stored with this tag, by Surrogate-Key or Cache-Tag."`
		All    bool     `json:"all,omitempty" doc:"Everything."`
		Soft   bool     `json:"soft,omitempty" doc:"Make it stale and do not remove it: it is asked for anew, and may be used until then where stale answers may."`
	}
}

// Purged is what a purge did.
type Purged struct {
	Removed int  `json:"removed" doc:"Answers in memory that it was. Those on disk and in the shared store are not used from now on and not counted."`
	Soft    bool `json:"soft" doc:"They are stale and were not removed."`
	// Later is a reason for the rest of the fleet to be late.
	Later string `json:"fleet_later,omitempty" doc:"Why the other gateways of the fleet hear of it later; absent when they have heard, or there are none."`
}

func (a *Admin) purgeCache(_ context.Context, in *purgeOrder) (*struct{ Body Purged }, error) {
	p := cache.Purge{URL: in.Body.URL, Prefix: in.Body.Prefix, Tag: in.Body.Tag, All: in.Body.All, Soft: in.Body.Soft}
	var given []string
	for _, way := range []struct {
		name string
		is   bool
	}{{"url", p.URL != ""}, {"prefix", p.Prefix != ""}, {"tag", p.Tag != ""}, {"all", p.All}} {
		if way.is {
			given = append(given, way.name)
		}
	}
	switch {
	case len(given) == 0:
		return nil, newProblem(http.StatusUnprocessableEntity, "nothing says what is to be purged; allowed: one of url, prefix, tag, and all: true")
	case len(given) > 1:
		return nil, newProblem(http.StatusUnprocessableEntity, "found "+strings.Join(given, " and ")+"; allowed: one of url, prefix, tag and all at a time")
	case a.sources.Cache == nil:
		return nil, noCache()
	}
	n, err := a.sources.Cache.Purge(p)
	out := Purged{Removed: n, Soft: p.Soft}
	var late *cache.NotTold
	if errors.As(err, &late) {
		out.Later, err = late.Error(), nil
	}
	if err != nil {
		return nil, newProblem(http.StatusUnprocessableEntity, err.Error())
	}
	a.sources.Log.Info("cache purged through the admin API", "by", given[0], "what", cmp.Or(p.URL, p.Prefix, p.Tag, "everything"), "soft", p.Soft, "removed_from_memory", n)
	return &struct{ Body Purged }{out}, nil
}

type cacheQuestion struct {
	Body struct {
		_        struct{}       `additionalProperties:"false"`
		URL      string         `json:"url" minLength:"1" maxLength:"8192" doc:"The whole URL, as clients ask for it."`
		Method   string         `json:"method,omitempty" maxLength:"32" default:"GET"`
		Headers  []RequestField `json:"headers,omitempty" maxItems:"100" nullable:"false"`
		Consumer string         `json:"consumer,omitempty" maxLength:"128" doc:"The id of a consumer that authentication is taken to have found; nobody when absent."`
		Issuer   string         `json:"issuer,omitempty" maxLength:"1024" doc:"Of a token that it is taken to have found."`
		Subject  string         `json:"subject,omitempty" maxLength:"1024" doc:"Whom that is of."`
	}
}

// RequestField is a field of a request.
type RequestField struct {
	Name  string `json:"name" minLength:"1" maxLength:"256"`
	Value string `json:"value" maxLength:"8192"`
}

// CacheExplanation says what the cache would do with a request.
type CacheExplanation struct {
	Route   string         `json:"route"`
	Method  string         `json:"method"`
	URL     string         `json:"url" doc:"In its canonical form."`
	Outcome string         `json:"outcome" enum:"none,bypass,miss,hit,stale,revalidated,expired,only_if_cached" doc:"As in the field cache of the access log; miss also for what could be stored, as far as that is known before an endpoint has answered."`
	Rules   []CacheRule    `json:"rules" nullable:"false" doc:"In the order they were asked; the last decided."`
	Stored  *CacheStored   `json:"stored,omitempty" doc:"What is stored for this request; absent when nothing is."`
	Last    string         `json:"last_not_stored,omitempty" doc:"Why the last answer to it was not stored, as far as that is remembered."`
	Key     []CacheKeyPart `json:"key" nullable:"false" doc:"What tells this request from others, besides what Vary names."`
}

// CacheKeyPart is one part of a key.
type CacheKeyPart struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// CacheRule is one rule and what came of it.
type CacheRule struct {
	Rule   string `json:"rule" doc:"A word."`
	Source string `json:"source" doc:"The paragraph of the standard, or the option."`
	Found  string `json:"found" doc:"What it was applied to."`
	Result string `json:"result"`
}

// CacheStored is what is stored for a request.
type CacheStored struct {
	Store             string   `json:"store" enum:"memory,disk,redis"`
	Status            int      `json:"status"`
	Age               float64  `json:"age_seconds"`
	Lifetime          float64  `json:"lifetime_seconds"`
	Left              float64  `json:"left_seconds" doc:"For how long it is fresh; negative for how long it has been stale."`
	WhileRevalidating float64  `json:"while_revalidating_seconds" doc:"How long it may be used stale while it is renewed."`
	IfError           float64  `json:"if_error_seconds" doc:"How long it may be used stale when it cannot be renewed."`
	ETag              string   `json:"etag,omitempty"`
	Vary              []string `json:"vary,omitempty" nullable:"false" doc:"The fields that tell its variants apart."`
	Variants          int      `json:"variants,omitempty" doc:"How many are stored."`
	Bytes             int64    `json:"bytes" doc:"Of its content."`
	Tags              []string `json:"tags,omitempty" nullable:"false"`
}

func (a *Admin) explainCache(_ context.Context, in *cacheQuestion) (*struct{ Body CacheExplanation }, error) {
	if a.sources.Explain == nil {
		return nil, noCache()
	}
	q := edge.Question{Method: in.Body.Method, URL: in.Body.URL, Caller: exchange.Caller{Issuer: in.Body.Issuer, Subject: in.Body.Subject}}
	for _, f := range in.Body.Headers {
		q.Header = append(q.Header, [2]string{f.Name, f.Value})
	}
	if id := in.Body.Consumer; id != "" {
		if a.sources.Consumers != nil {
			q.Caller.Consumer = a.sources.Consumers().Consumer(id)
		}
		if q.Caller.Consumer == nil {
			return nil, newProblem(http.StatusNotFound, fmt.Sprintf("there is no consumer %q in the configuration in force", id))
		}
	}
	e, err := a.sources.Explain(q)
	if err != nil {
		status := http.StatusUnprocessableEntity
		switch {
		case errors.Is(err, edge.ErrUnready):
			status = http.StatusServiceUnavailable
		case errors.Is(err, edge.ErrNoRoute):
			status = http.StatusNotFound
		case errors.Is(err, edge.ErrNoCache):
			status = http.StatusConflict
		}
		return nil, newProblem(status, err.Error())
	}
	return &struct{ Body CacheExplanation }{showExplanation(&e)}, nil
}

func showExplanation(e *edge.Explanation) CacheExplanation {
	out := CacheExplanation{Route: e.Route, Method: e.Method, URL: e.URL, Outcome: cmp.Or(e.Outcome.String(), "none"), Key: []CacheKeyPart{}, Rules: []CacheRule{}, Last: e.Last}
	for _, p := range e.Key {
		out.Key = append(out.Key, CacheKeyPart(p))
	}
	for _, r := range e.Rules {
		out.Rules = append(out.Rules, CacheRule{r.Name, r.Source, r.Found, r.Result})
	}
	if s := e.Stored; s != nil {
		out.Stored = &CacheStored{Store: s.Store, Status: s.Status, Age: whole(s.Age), Lifetime: whole(s.Lifetime), Left: whole(s.Left),
			WhileRevalidating: whole(max(s.WhileRevalidating, 0)), IfError: whole(max(s.IfError, 0)),
			ETag: s.ETag, Vary: s.Vary, Variants: s.Variants, Bytes: s.Bytes, Tags: s.Tags}
	}
	return out
}

// whole is a time in seconds, to the millisecond.
func whole(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }
