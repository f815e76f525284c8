package cache

import (
	"strconv"
	"strings"
	"time"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/exchange"
)

// Explanation says rule by rule what the cache would do with a request.
type Explanation struct {
	Outcome exchange.CacheOutcome // CacheMiss also for what could be stored, as far as is known
	Key     []KeyPart
	Rules   []Rule  // in the order they were asked; the last decided
	Stored  *Stored // nil when nothing is
	Last    string  // why the last answer was not stored, as far as it is remembered; empty when unknown
}

// KeyPart is one part of the key.
type KeyPart struct{ Name, Value string }

// Rule is one rule and what came of it.
type Rule struct {
	Name   string // a word
	Source string // the standard's paragraph, or the option
	Found  string // what it was applied to
	Result string
}

// Stored says what is stored for the request.
type Stored struct {
	Store                      string // memory, disk, redis
	Status                     int
	Age, Lifetime              time.Duration
	Left                       time.Duration
	WhileRevalidating, IfError time.Duration
	ETag                       string
	Vary                       []string
	Variants                   int
	Bytes                      int64
	Tags                       []string
}

// Explain says what the cache would do with x, which has its route, its fields and what authentication found. Nothing is asked of an endpoint. What
// is found counts as looked up.
func (r *Route) Explain(x *exchange.Exchange) (e Explanation) {
	c := r.cache
	now := c.now()
	v := &Visit{}
	v.visit = visit{route: r, stage: asking}
	defer v.release()
	say := func(name, source, found, result string) { e.Rules = append(e.Rules, Rule{name, source, found, result}) }

	fwd, why := r.admits(x, v)
	if x.Route != nil {
		e.Key = explainKey(x, x.Route.Name, &r.terms.Parts)
	}
	if fwd != notForwarded {
		e.Outcome = exchange.CacheBypass
		say("request", "RFC 9111 §3", x.Request.Method, Explain(why))
		return e
	}
	say("request", "RFC 9111 §3", x.Request.Method, "It is a request that may be answered from what is stored.")
	v.request = r.reads(x)
	last := c.apart.last(v.apartKey())
	if last != "" {
		e.Last = Explain(last)
	}
	found := v.find(x, now)
	if v.list != nil {
		r.explainVariants(v, say)
	}
	if !found {
		r.explainMiss(x, v, &e, now, say)
		return e
	}
	o := v.found
	e.Stored = v.describe(now)
	say("stored", "RFC 9111 §4", v.from.String(), "A response "+strconv.Itoa(o.Status)+" is stored, asked for "+ago(now-o.Terms.RequestTime)+" ago.")
	if rule, ok := c.purges.Find(o.URL, o.Tags, o.Terms.RequestTime); ok && rule.Soft {
		say("purge", "soft purge", rule.Kind.String()+" "+rule.Text, "It counts as stale since then, "+ago(now-rule.At)+" ago.")
	}
	say("age", "RFC 9111 §4.2.3", ago(v.terms.Age(now)), "Its age; it is fresh for "+ago(v.terms.Lifetime)+lifetimeOf(&v.terms)+".")
	use, why := v.terms.Use(&v.request, now, &r.terms.Rules)
	switch use {
	case freshness.Serve:
		e.Outcome = exchange.CacheHit
		if v.terms.Left(now) <= 0 {
			e.Outcome = exchange.CacheStale
			why = askedStale
		}
		result := "It is served as it is."
		if why != "" {
			result += " " + Explain(why)
		}
		say("use", "RFC 9111 §4", "left "+ago(v.terms.Left(now)), result)
	case freshness.Renew:
		e.Outcome = exchange.CacheStale
		say("use", "RFC 5861 §3", "left "+ago(v.terms.Left(now)), "It is served stale, and renewed in the background.")
		if c.apart.rests(v.at, now) {
			say("renewal", "", string(why), "The last renewal failed just now, and is tried again later.")
		}
	default:
		e.Outcome = exchange.CacheExpired
		say("use", "RFC 9111 §4.3", string(why), "It is not served before the endpoint said that it is still right. "+Explain(why))
		if v.request.OnlyIfCached {
			e.Outcome = exchange.CacheOnly
			say("only-if-cached", "RFC 9111 §5.2.1.7", "only-if-cached", "The endpoint is not asked, and the client gets 504.")
			return e
		}
		if v.terms.OnError(&v.request, now, &r.terms.Rules) {
			say("error", "RFC 5861 §4", "", "Should the endpoint fail, it is served stale.")
		} else {
			say("error", "RFC 5861 §4", "", "Should the endpoint fail, the client is told so.")
		}
	}
	return e
}

// explainVariants says which of the variants of a resource the request selects.
func (r *Route) explainVariants(v *Visit, say func(name, source, found, result string)) {
	for _, set := range v.list.Variants.Sets {
		names := ""
		for i, name := range set.Names {
			if i > 0 {
				names += ", "
			}
			names += name
		}
		say("vary", "RFC 9111 §4.1", names, strconv.Itoa(len(set.Keys))+" of at most "+strconv.Itoa(r.terms.Variants)+" variants, told apart by these fields.")
	}
	if v.found == nil {
		say("variant", "RFC 9111 §4.1", "", "None of them is what this request selects, or it has been dropped.")
	}
}

// explainMiss says what becomes of a request for which nothing is stored.
func (r *Route) explainMiss(x *exchange.Exchange, v *Visit, e *Explanation, now int64, say func(name, source, found, result string)) {
	e.Outcome = exchange.CacheMiss
	if v.list == nil {
		say("stored", "RFC 9111 §4", "", "Nothing is stored under this key.")
	}
	if v.request.OnlyIfCached {
		e.Outcome = exchange.CacheOnly
		say("only-if-cached", "RFC 9111 §5.2.1.7", "only-if-cached", "The endpoint is not asked, and the client gets 504.")
		return
	}
	alone, unkept := r.shares(x, v, now)
	switch {
	case unkept != "":
		say("store", "RFC 9111 §3", string(unkept), "The endpoint's answer is passed on and not stored. "+Explain(unkept))
	case alone != "":
		say("store", "RFC 9111 §3", string(alone), "The endpoint is asked without waiting for another; its answer is stored if it may be. "+Explain(alone))
	default:
		say("store", "RFC 9111 §3", "", "The endpoint is asked once for all who want the same now; its answer is stored if it may be.")
	}
}

// describe says what was found.
func (v *Visit) describe(now int64) *Stored {
	o, t := v.found, &v.terms
	s := &Stored{
		Store: v.from.String(), Status: o.Status, Age: time.Duration(t.Age(now)), Lifetime: time.Duration(t.Lifetime), Left: time.Duration(t.Left(now)),
		WhileRevalidating: max(time.Duration(t.WhileRevalidating), 0), IfError: max(time.Duration(t.IfError), 0), ETag: o.ETag, Bytes: o.Length, Tags: o.Tags,
	}
	rules := &v.route.terms.Rules
	if t.WhileRevalidating == freshness.Unsaid {
		s.WhileRevalidating = rules.StaleWhileRevalidate
	}
	if t.IfError == freshness.Unsaid {
		s.IfError = rules.StaleIfError
	}
	v.stored.Reset()
	o.AppendFields(&v.stored)
	s.Vary, _ = freshness.Vary(&v.stored, nil)
	if v.list != nil {
		for _, set := range v.list.Variants.Sets {
			s.Variants += len(set.Keys)
		}
	}
	return s
}

// lifetimeOf says where a lifetime comes from, where that is not the answer.
func lifetimeOf(t *freshness.Terms) string {
	switch {
	case t.Flags&freshness.Overridden != 0:
		return ", as the route's ttl says"
	case t.Flags&freshness.Heuristic != 0:
		return ", which is a guess, since the endpoint does not say"
	}
	return ""
}

// ago is a time in nanoseconds for people.
func ago(ns int64) string {
	s := time.Duration(ns).Truncate(time.Millisecond).String()
	if cut, ok := strings.CutSuffix(s, "m0s"); ok {
		s = cut + "m"
	}
	if cut, ok := strings.CutSuffix(s, "h0m"); ok {
		s = cut + "h"
	}
	return s
}
