package keyset

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"straum.dev/straum/internal/fetch"
	"straum.dev/straum/internal/token"
)

// keeper is what the goroutine alone knows.
type keeper struct {
	found    *url.URL // by discovery; nil when it has to be asked again
	next     time.Time
	life     time.Duration // of the last answer
	good     time.Time     // of the last success
	failures int           // in a row
	warned   string        // what was said last about keys left out
	stale    bool          // it was said that the set is too old
}

// run fetches when it is time or when it is asked to, and takes a set away that has grown too old.
func (k *Source) run() {
	defer close(k.ended)
	var own keeper
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		asked := false
		select {
		case <-k.quit:
		case <-k.ask:
			asked = true
		case <-k.retimed:
			if own.failures == 0 && !own.good.IsZero() {
				own.next = own.good.Add(refresh(min(own.life, k.maxStale()), k.settings.random()))
			}
		case <-timer.C:
		}
		select {
		case <-k.quit:
			if k.boarded() {
				k.round(&own, true) // begun by one who waits for it
			}
			return
		default:
		}
		if asked || !time.Now().Before(own.next) {
			k.round(&own, asked)
		}
		now, wake := time.Now(), own.next
		if set := k.Set(); set != nil {
			end := own.good.Add(k.maxStale())
			if now.Before(end) {
				wake = earlier(wake, end)
			} else {
				k.drop(&own)
			}
		}
		timer.Reset(wake.Sub(now))
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// boarded says whether a fetch is waited for that has not begun.
func (k *Source) boarded() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.flight != nil && k.ctx.Err() == nil
}

// round makes one fetch and lets go those who wait for it.
func (k *Source) round(own *keeper, asked bool) {
	k.mu.Lock()
	select {
	case <-k.ask: // came together with the timer
		asked = true
	default:
	}
	if k.flight == nil {
		k.flight = &flight{done: make(chan struct{})}
	}
	f := k.flight
	k.mu.Unlock()

	k.fetches.Add(1)
	set, life, warnings, err := k.fetch(own, asked)
	if k.ctx.Err() != nil {
		err = k.ctx.Err() // nobody's failure
	} else if err != nil {
		k.failed(own, err)
	} else {
		k.took(own, set, life, warnings)
	}

	k.mu.Lock()
	f.err = err
	k.flight = nil
	k.mu.Unlock()
	close(f.done)
}

// fetch gets the set. The discovery document is asked for again each time, in case the keys have moved, except when somebody is waiting.
func (k *Source) fetch(own *keeper, asked bool) (set *token.Set, life time.Duration, warnings []string, err error) {
	u := k.settings.URL
	if u == nil {
		if own.found == nil || !asked {
			d, err := Discover(k.ctx, k.settings.Client, k.settings.Issuer)
			if err != nil {
				return nil, 0, nil, err
			}
			own.found = d.JWKS
		}
		u = own.found
	}
	r, err := k.settings.Client.Do(k.ctx, fetch.Request{URL: u, Header: fetch.Header{{Name: "Accept", Value: "application/jwk-set+json, application/json"}}})
	if err != nil {
		return nil, 0, nil, err
	}
	if r.Status != 200 {
		err = fmt.Errorf("the answer has status %d; it has to be 200", r.Status)
	} else {
		set, warnings, err = token.ParseSet(r.Body)
	}
	if err != nil {
		return nil, 0, nil, fmt.Errorf("GET %s: %w", fetch.Place(u), err)
	}
	return set, lifetime(r.Header.Get("Cache-Control"), r.Header.Get("Age")), warnings, nil
}

func (k *Source) failed(own *keeper, err error) {
	k.failures.Add(1)
	own.failures++
	k.failing.CompareAndSwap(0, time.Now().UnixNano())
	own.found = nil
	bare := k.Set() == nil
	own.next = time.Now().Add(retry(own.failures, bare, k.settings.random()))
	if own.failures > 1 {
		return // it was said
	}
	if bare {
		k.settings.Log.Error("keys cannot be fetched; tokens of this issuer cannot be verified", "keys", k.place, "error", err)
	} else {
		k.settings.Log.Warn("keys cannot be fetched; those fetched before stay in use", "keys", k.place, "error", err, "for_at_most", (k.maxStale() - time.Since(own.good)).Round(time.Second).String())
	}
}

func (k *Source) took(own *keeper, set *token.Set, life time.Duration, warnings []string) {
	now, old := time.Now(), k.Set()
	log := k.settings.Log.With("keys", k.place)
	if own.failures > 0 {
		log.Info("keys can be fetched again", "failures", own.failures)
	}
	own.good, own.failures, own.stale = now, 0, false
	own.life = life
	own.next = now.Add(refresh(min(life, k.maxStale()), k.settings.random()))
	k.since.Store(now.UnixNano())
	k.failing.Store(0)
	if all := strings.Join(warnings, "; "); all != own.warned {
		own.warned = all
		for _, w := range warnings {
			log.Warn("a key set is not as it should be", "problem", w)
		}
	}
	if old != nil && old.Digest() == set.Digest() {
		return
	}
	k.set.Store(set)
	gained, lost := changes(old, set)
	log.Info("keys changed", "count", set.Len(), "gained", gained, "lost", lost)
}

// drop takes a set away that nobody has confirmed for too long: its issuer may have withdrawn any of its keys.
func (k *Source) drop(own *keeper) {
	k.set.Store(nil)
	if !own.stale {
		own.stale = true
		k.settings.Log.Error("keys are too old and not used any more; tokens of this issuer cannot be verified", "keys", k.place, "max_stale", k.maxStale().String())
	}
}

const (
	maxShown  = 64 // bytes of a text from elsewhere in a log line
	maxListed = 16 // names of keys in a log line
)

// changes names the keys that came and went, fit for a log line.
func changes(old, set *token.Set) (gained, lost string) {
	return list(set, old), list(old, set)
}

func list(of, without *token.Set) string {
	if of == nil {
		return ""
	}
	var names []string
	for _, key := range of.Keys() {
		if without == nil || !without.Holds(key.Identity()) {
			names = append(names, show(key.ID()))
		}
	}
	slices.Sort(names)
	if more := len(names) - maxListed; more > 0 {
		names = append(names[:maxListed], "and "+strconv.Itoa(more)+" more")
	}
	return strings.Join(names, ", ")
}

// show is a text from elsewhere for a log line or a label, which quote what needs it: cut, and quoted only when it could be misread.
func show(text string) string {
	if text == "" || len(text) > maxShown || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' || r == ',' }) {
		return quote(text)
	}
	return text
}

// quote quotes a text from elsewhere and cuts it.
func quote(text string) string {
	if len(text) > maxShown {
		return strconv.QuoteToASCII(text[:maxShown]) + "..."
	}
	return strconv.QuoteToASCII(text)
}
