package cache

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	"straum.dev/straum/internal/edge/cache/disk"
	"straum.dev/straum/internal/edge/cache/flight"
	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
)

// kept is an answer on its way into the stores. It holds nothing of the exchange.
type kept struct {
	cache    *Cache
	route    *Route
	stores   *stores
	head     *object.Object // without its body
	inMemory int64          // bytes of a body that may lie in memory

	key       object.Key
	names     []string        // Vary
	selecting exchange.Fields // of the request, by those names

	stored atomic.Pointer[object.Object] // once it lies in memory
}

// keeps judges an answer of the endpoint and makes of it what is to be stored. why says why it is not.
func (v *Visit) keeps(x *exchange.Exchange, s *stores, now int64) (*kept, freshness.Why) {
	r, p := v.route, &x.Response
	if v.unkept != "" {
		return nil, v.unkept
	}
	terms, why := freshness.Judge("GET", &v.request, p.Status, &p.Header, v.asked, now, &r.terms.Rules)
	switch {
	case why == freshness.StatusNever && p.Status == 304:
		return nil, conditional
	case why == freshness.StatusNever:
		return nil, freshness.StatusNever
	case why != "":
		return nil, why
	}
	names, all := freshness.Vary(&p.Header, nil)
	switch {
	case all:
		return nil, freshness.VariesByAll
	case slices.ContainsFunc(names, saysWho), slices.Contains(names, authorization) && v.hidesWho(x):
		return nil, varyClient
	case p.Length > r.most(s):
		return nil, tooLarge
	}
	tags, ok := tagsOf(&p.Header)
	if !ok {
		return nil, tooManyTags
	}
	url := v.url
	if !v.errand {
		v.scratch = appendURL(v.scratch[:0], x, &r.terms.Parts)
		url = string(v.scratch)
	}
	if r.cache.removed(url, tags, v.asked) {
		return nil, purgedMeanwhile
	}
	v.fields.Reset()
	freshness.Stores(&p.Header, &r.terms.Rules, v.keepField)
	v.dated(&terms)
	k := &kept{cache: r.cache, route: r, stores: s, key: v.key, inMemory: min(s.gathered(), r.most(s))}
	k.head = object.New(p.Status, terms, &v.fields, url, tags, nil)
	k.head.Length = p.Length
	if p.Body == nil {
		k.head.Length = 0
	}
	k.selects(names, &x.Request.Header)
	r.cache.reading.note(x.Route, &r.terms.Parts)
	return k, ""
}

// keepField puts a field among those to be stored, unless it is for caches alone.
func (v *Visit) keepField(f *exchange.Field) {
	if f.Known == exchange.Other && (strings.EqualFold(f.Name, surrogateKey) || strings.EqualFold(f.Name, surrogateControl)) {
		return
	}
	v.fields.Append(f.Known, f.Name, f.Value)
}

// dated gives the fields to be stored a Date when they have none (RFC 9110 §6.6.1).
func (v *Visit) dated(t *freshness.Terms) {
	if v.fields.Count(exchange.Date) == 0 {
		v.scratch = freshness.AppendDate(v.scratch[:0], t.Date)
		v.fields.Append(exchange.Date, exchange.Date.String(), string(v.scratch))
	}
}

// saysWho says whether a field is made by the gateway and tells endpoints who asks: what a client sent under that name is not what they get.
func saysWho(name string) bool {
	return name == "x-forwarded-for" || name == "x-real-ip" || name == "forwarded"
}

const authorization = "authorization"

// hidesWho says whether somebody known asks, and endpoints are not shown it in Authorization: that cannot tell callers apart then, nor them from
// anybody.
func (v *Visit) hidesWho(x *exchange.Exchange) bool {
	return v.request.Authorization && !v.route.terms.Parts.Consumer && x.Request.Header.Count(exchange.Authorization) == 0
}

// selects keeps the fields of the request that select this answer.
func (k *kept) selects(names []string, h *exchange.Fields) {
	for _, name := range names {
		name = strings.Clone(name)
		k.names = append(k.names, name)
		known := exchange.Lookup(name)
		for _, f := range h.All() {
			if f.Known == known && (known != exchange.Other || strings.EqualFold(f.Name, name)) {
				k.selecting.Append(known, name, strings.Clone(f.Value))
			}
		}
	}
}

// shown is the head as those get to see it who wait for it: with what they have to have in common.
func (k *kept) shown() *object.Object {
	if len(k.names) == 0 {
		return k.head
	}
	head := k.head.WithBody(nil)
	at, _ := variantKey(k.key, 0, k.names, &k.selecting, head.Language, nil)
	head.Variants = &object.Variants{Sets: []object.Set{{Names: k.names, Language: head.Language, Keys: []object.Key{at}}}}
	return head
}

// whole stores the answer with its whole body.
func (k *kept) whole(body []byte) {
	c := k.cache
	if k.late() {
		c.figures.unstored.count(purgedMeanwhile)
		return
	}
	o := k.head.WithBody(body)
	if len(k.names) == 0 {
		c.put(k.stores, k.key, o)
	} else {
		mu := &c.lists[k.key[0]%byte(len(c.lists))]
		mu.Lock()
		nonce, list := k.nonce()
		at := k.at(nonce)
		c.put(k.stores, at, o)
		k.enlist(list, at, nonce)
		mu.Unlock()
	}
	k.stored.Store(o)
}

// late says whether the answer was purged, or made useless, while it was under way.
func (k *kept) late() bool {
	t := k.head.Terms.RequestTime
	return k.cache.removed(k.head.URL, k.head.Tags, t) || k.cache.wasDeleted(&k.key, t)
}

// at is the key of the answer among the variants of a list.
func (k *kept) at(nonce uint64) object.Key {
	at, _ := variantKey(k.key, nonce, k.names, &k.selecting, k.head.Language, nil)
	return at
}

// nonce is that of the list of variants as it stands, or a new one. The lock of the list is held.
func (k *kept) nonce() (uint64, *object.Object) {
	o, from := k.cache.get(k.stores, k.key)
	if o == nil || o.Variants == nil {
		if o != nil {
			drop(o, from)
		}
		return rand.Uint64(), nil
	}
	return o.Variants.Nonce, o
}

// enlist puts the answer into the list of variants, first of its kind, and forgets the oldest where there are too many. The lock of the list is held.
func (k *kept) enlist(list *object.Object, at object.Key, nonce uint64) {
	v := &object.Variants{Nonce: nonce}
	own := object.Set{Names: k.names, Language: k.head.Language}
	terms := k.head.Terms
	if list != nil {
		for _, set := range list.Variants.Sets {
			if set.Language == own.Language && slices.Equal(set.Names, own.Names) {
				own.Keys = slices.DeleteFunc(slices.Clone(set.Keys), func(other object.Key) bool { return other == at })
				continue
			}
			v.Sets = append(v.Sets, set)
		}
		if t := list.Terms; t.DeadAt(true, &k.route.terms.Rules) > terms.DeadAt(true, &k.route.terms.Rules) {
			terms = t
		}
	}
	own.Keys = append(own.Keys, at)
	v.Sets = append([]object.Set{own}, v.Sets...)
	for _, old := range shorten(v, min(k.route.terms.Variants, object.MaxKeys)) {
		k.cache.remove(k.stores, old)
	}
	// The variants are compared with purges one by one. The list itself is as new as can be.
	terms.RequestTime = k.cache.tick()
	k.cache.put(k.stores, k.key, object.NewVariants(v, k.head.URL, terms))
}

// shorten leaves at most so many variants in a list, and so many sets as there may be, and gives the keys of those that are left out: the oldest.
func shorten(v *object.Variants, most int) (out []object.Key) {
	n := 0
	for i := range v.Sets {
		n += len(v.Sets[i].Keys)
	}
	for len(v.Sets) > 1 && (len(v.Sets) > object.MaxSets || n > most) {
		last := &v.Sets[len(v.Sets)-1]
		if len(v.Sets) > object.MaxSets || len(last.Keys) <= n-most {
			out = append(out, last.Keys...)
			n -= len(last.Keys)
			v.Sets = v.Sets[:len(v.Sets)-1]
			continue
		}
		out = append(out, last.Keys[:n-most]...)
		last.Keys = slices.Clone(last.Keys[n-most:])
		return out
	}
	if own := &v.Sets[0]; n > most {
		out = append(out, own.Keys[:n-most]...)
		own.Keys = slices.Clone(own.Keys[n-most:])
	}
	return out
}

// spill has an answer that is too long for memory written to disk as it comes; nil when there is none or it has no room.
func (k *kept) spill() flight.Sink {
	if k.stores.disk == nil {
		return nil
	}
	at, nonce := k.key, uint64(0)
	if len(k.names) > 0 {
		mu := &k.cache.lists[k.key[0]%byte(len(k.cache.lists))]
		mu.Lock()
		nonce, _ = k.nonce()
		mu.Unlock()
		at = k.at(nonce)
	}
	w := k.stores.disk.Create(at, k.head)
	if w == nil {
		return nil
	}
	return &sink{Writer: w, kept: k, at: at, nonce: nonce}
}

// sink is a flight's way to disk.
type sink struct {
	*disk.Writer
	kept  *kept
	at    object.Key
	nonce uint64
	bytes int64
}

// Write implements flight.Sink.
func (s *sink) Write(run []byte) bool {
	if s.bytes += int64(len(run)); s.bytes > s.kept.route.most(s.kept.stores) {
		return false
	}
	return s.Writer.Write(run)
}

// Commit implements flight.Sink.
func (s *sink) Commit() {
	k := s.kept
	c := k.cache
	if k.late() {
		c.figures.unstored.count(purgedMeanwhile)
		s.Abort()
		return
	}
	// What lies in memory or in Redis would come before it.
	if k.stores.memory != nil {
		k.stores.memory.Delete(s.at)
	}
	if k.stores.remote != nil {
		k.stores.remote.Delete(s.at)
	}
	s.Writer.Commit()
	if len(k.names) == 0 {
		return
	}
	mu := &c.lists[k.key[0]%byte(len(c.lists))]
	mu.Lock()
	defer mu.Unlock()
	nonce, list := k.nonce()
	if nonce != s.nonce {
		list = nil // another began a list meanwhile; it is the older one
	}
	k.enlist(list, s.at, s.nonce)
}

// The fields by which endpoints name what they answer, for purges. Those called Surrogate are for caches alone.
const (
	surrogateKey     = "Surrogate-Key"
	surrogateControl = "Surrogate-Control"
	cacheTag         = "Cache-Tag"
)

// How many tags an answer may have, and how many bytes they may take together.
const (
	maxTags     = 256
	maxTagBytes = 8 << 10
)

// tagsOf are the tags of an answer, each once. ok is false when there are too many.
func tagsOf(h *exchange.Fields) (tags []string, ok bool) {
	bytes := 0
	for _, f := range h.All() {
		if f.Known != exchange.Other || len(f.Name) != len(surrogateKey) && len(f.Name) != len(cacheTag) {
			continue
		}
		var at string
		switch {
		case strings.EqualFold(f.Name, surrogateKey):
			at = " \t"
		case strings.EqualFold(f.Name, cacheTag):
			at = ", \t"
		default:
			continue
		}
		for tag := range strings.FieldsFuncSeq(f.Value, func(c rune) bool { return strings.ContainsRune(at, c) }) {
			if slices.Contains(tags, tag) {
				continue
			}
			if bytes += len(tag); len(tags) == maxTags || bytes > maxTagBytes {
				return nil, false
			}
			tags = append(tags, tag)
		}
	}
	return tags, true
}
