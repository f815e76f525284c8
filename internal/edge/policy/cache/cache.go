// Package cache is the policy cache: what a route's configuration says of steps 5 and 8, where internal/edge/cache answers requests with what was
// answered before.
//
// In reading order: options.go (what may be said), cache.go (what it comes to: rules and times), key.go (what of a request is in the key).
//
// It refuses to take part in a step itself: what it binds to is the cache of its route, which alters the path.
package cache

import (
	"maps"
	"slices"
	"strings"
	"time"

	"straum.dev/straum/internal/edge/cache"
	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/policy"
)

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "cache", Options: Options{}, Build: build}

// unbound is the policy before it has a cache.
type unbound struct {
	terms cache.Terms
	scope string
}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	rules, err := rulesOf(&options, o)
	if err != nil {
		return nil, err
	}
	parts, err := partsOf(&options, o)
	if err != nil {
		return nil, err
	}
	return &unbound{scope: o.Scope(), terms: cache.Terms{
		Rules:     rules,
		Parts:     parts,
		Wait:      max(options.Wait.Std(), atOnce),
		Renew:     options.RenewWithin.Std(),
		Early:     options.Early.Fraction(),
		Variants:  options.Variants,
		MaxObject: int64(options.MaxObject),
		Status:    options.CacheStatus,
	}}, nil
}

// atOnce is how long one waits who does not: 0 would be the cache's own default.
const atOnce = time.Nanosecond

// Bind implements policy.Binder. Where the gateway has no cache, as when a revision is only judged, the route has none.
func (u *unbound) Bind(w *policy.World) (any, error) {
	if w.Cache == nil {
		return (*cache.Route)(nil), nil
	}
	return w.Cache.Route(u.scope, u.terms), nil
}

// rulesOf are the rules of freshness with what the options say otherwise.
func rulesOf(options *Options, o policy.Options) (freshness.Rules, error) {
	r := freshness.Rules{
		TTL:                  options.TTL.Std(),
		DefaultTTL:           options.DefaultTTL.Std(),
		Heuristic:            options.Heuristic.Fraction(),
		HeuristicMax:         options.HeuristicMax.Std(),
		StaleWhileRevalidate: options.StaleWhileRevalidate.Std(),
		StaleIfError:         options.StaleIfError.Std(),
		IgnoreRequest:        options.IgnoreClient,
		StripCookies:         options.StripCookies,
		StoreCookies:         options.StoreCookies,
		Partitioned:          options.By == byConsumer,
	}
	if r.StripCookies && r.StoreCookies {
		return r, o.Errorf("store_cookies", "answers with Set-Cookie are stored either with the field or, by strip_cookies, without it; remove one of the two")
	}
	if r.TTL > 0 && r.DefaultTTL > 0 {
		return r, o.Errorf("default_ttl", "it is for answers that say nothing, and ttl is for all, so that it never counts; remove one of the two")
	}
	if r.Heuristic == 0 && options.HeuristicMax != defaultHeuristicMax {
		return r, o.Errorf("heuristic_max", "it bounds a guess that heuristic: 0%% never makes; remove one of the two")
	}
	var err error
	if r.Statuses, err = statusesOf(options.Statuses, o); err != nil {
		return r, err
	}
	if r.TTLs, err = ttlsOf(options.TTLByStatus, r.Statuses, o); err != nil {
		return r, err
	}
	r.Targets, err = targetsOf(options.Targets, o)
	return r, err
}

// defaultHeuristicMax is that of the tag.
const defaultHeuristicMax = hour

// statusesOf are the statuses that may be stored; nil is what the standards allow.
func statusesOf(list []statuses, o policy.Options) (map[int]bool, error) {
	var out map[int]bool
	for _, one := range list {
		if why := never[one.from]; one.from == one.to && why != "" {
			return nil, o.Errorf("statuses", "%s %s", one, why)
		}
		for s := one.from; s <= one.to; s++ {
			if never[s] == "" {
				if out == nil {
					out = map[int]bool{}
				}
				out[s] = true
			}
		}
	}
	return out, nil
}

// ttlsOf are lifetimes by status. What is said of one status counts more than what is said of its class.
func ttlsOf(by map[string]duration, allowed map[int]bool, o policy.Options) (map[int]time.Duration, error) {
	if len(by) == 0 {
		return nil, nil
	}
	const least, most = duration(time.Second), 8784 * hour
	out, single := map[int]time.Duration{}, map[int]time.Duration{}
	for _, text := range slices.Sorted(maps.Keys(by)) { // so that of several mistakes it is always the same that is told
		d := by[text]
		var one statuses
		if err := one.ParseText(text); err != nil {
			return nil, o.Errorf("ttl_by_status", "found %q, %s", text, err)
		}
		switch {
		case d < least || d > most:
			return nil, o.Errorf("ttl_by_status", "found %s for %s; allowed: 1s to 8784h", d, text)
		case one.from != one.to:
			before := len(out)
			for s := one.from; s <= one.to; s++ {
				if never[s] == "" && (allowed == nil || allowed[s]) {
					out[s] = d.Std()
				}
			}
			if len(out) == before {
				return nil, o.Errorf("ttl_by_status", "%s has a lifetime and none of it is among statuses, so that it is never stored; add it there, or remove it here", text)
			}
		case never[one.from] != "":
			return nil, o.Errorf("ttl_by_status", "%s %s", text, never[one.from])
		case allowed != nil && !allowed[one.from]:
			return nil, o.Errorf("ttl_by_status", "%s has a lifetime and is not among statuses, so that it is never stored; add it there, or remove it here", text)
		default:
			single[one.from] = d.Std()
		}
	}
	maps.Copy(out, single)
	return out, nil
}

// never says why a status is never stored.
var never = map[int]string{
	206: "is a part of an answer, and only whole ones are stored; parts are cut from these (RFC 9111 §3.3)",
	304: "says that what is stored is right, and is no answer to store (RFC 9111 §3.2)",
}

// targetsOf are the fields that come before Cache-Control.
func targetsOf(list []string, o policy.Options) ([]string, error) {
	var out []string
	for _, name := range list {
		lower := strings.ToLower(name)
		switch {
		case !grammar.IsToken(lower):
			return nil, o.Errorf("targets", "%q is not a field name", name)
		case lower == "cache-control":
			return nil, o.Errorf("targets", "Cache-Control counts anyway, after these; remove it")
		case !strings.HasSuffix(lower, "-cache-control"):
			return nil, o.Errorf("targets", "%s is no targeted field, whose names end in -Cache-Control (RFC 9213 §2)", name)
		case slices.Contains(out, lower):
			return nil, o.Errorf("targets", "%s is there twice; remove one", name)
		}
		out = append(out, lower)
	}
	return out, nil
}
