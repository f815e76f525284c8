package keyset

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"straum.dev/straum/internal/fetch"
	"straum.dev/straum/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// jwks is a set of keys with these names.
func jwks(kids ...string) string {
	var keys []string
	for _, kid := range kids {
		seed := sha256.Sum256([]byte(kid))
		public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
		keys = append(keys, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}`, kid, base64.RawURLEncoding.EncodeToString(public)))
	}
	return `{"keys":[` + strings.Join(keys, ",") + `]}`
}

// issuer is one that answers what it is told to, without a network, so that time can be the test's.
type issuer struct {
	mu     sync.Mutex
	status int
	body   string
	cache  string
	err    error
	takes  time.Duration
	asked  []time.Time
	urls   []string
}

func (i *issuer) Do(ctx context.Context, r fetch.Request) (fetch.Response, error) {
	i.mu.Lock()
	i.asked = append(i.asked, time.Now())
	i.urls = append(i.urls, r.URL.String())
	status, body, cache, err, takes := i.status, i.body, i.cache, i.err, i.takes
	i.mu.Unlock()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return fetch.Response{}, ctx.Err()
		}
	}
	if err != nil {
		return fetch.Response{}, err
	}
	return fetch.Response{Status: status, Body: []byte(body), Header: fetch.Header{{Name: "Cache-Control", Value: cache}}}, nil
}

func (i *issuer) set(change func(*issuer)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(i)
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.asked)
}

// gaps are the times between the fetches from one on.
func (i *issuer) gaps(from int) (gaps []time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := max(from, 1); n < len(i.asked); n++ {
		gaps = append(gaps, i.asked[n].Sub(i.asked[n-1]))
	}
	return gaps
}

var place = &url.URL{Scheme: "https", Host: "id.example.com", Path: "/jwks", RawQuery: "key=s3cr3t"}

// source runs f in a bubble of its own time, with a source that fetches from i.
func source(t *testing.T, i *issuer, s Settings, f func(t *testing.T, k *Source, log *bytes.Buffer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if i.status == 0 {
			i.status = 200
		}
		var log bytes.Buffer
		s.Client, s.Log, s.random = i, slog.New(slog.NewTextHandler(&log, nil)), func() float64 { return 0 }
		if s.Issuer == "" {
			s.URL = place
		}
		k := New(s)
		k.Start()
		defer func() {
			k.Stop()
			if strings.Contains(log.String(), "s3cr3t") {
				t.Errorf("a secret is in the log:\n%s", &log)
			}
		}()
		f(t, k, &log)
	})
}

func kids(set *token.Set) string {
	if set == nil {
		return "none"
	}
	var all []string
	for _, key := range set.Keys() {
		all = append(all, key.ID())
	}
	return strings.Join(all, " ")
}

func (k *Source) want(t *testing.T, kids ...string) {
	t.Helper()
	wanted := "none"
	if len(kids) > 0 {
		wanted = strings.Join(kids, " ")
	}
	if got := keysOf(k); got != wanted {
		t.Errorf("the set holds %s, want %s", got, wanted)
	}
}

func keysOf(k *Source) string { return kids(k.Set()) }

func TestRefresh(t *testing.T) {
	i := &issuer{body: jwks("a")}
	source(t, i, Settings{}, func(t *testing.T, k *Source, log *bytes.Buffer) {
		k.want(t)
		synctest.Wait()
		k.want(t, "a")
		first := k.Set()
		time.Sleep(48*time.Minute - 1)
		synctest.Wait()
		if n := i.count(); n != 1 {
			t.Fatalf("%d fetches before 80 %% of an hour", n)
		}
		time.Sleep(1 * time.Nanosecond)
		synctest.Wait()
		if n := i.count(); n != 2 || k.Set() != first {
			t.Errorf("%d fetches, want 2; the same keys are the same set: %t", n, k.Set() == first)
		}
		// What the issuer says goes, within bounds.
		i.set(func(i *issuer) { i.cache, i.body = "public, max-age=600", jwks("b", "c") })
		time.Sleep(48 * time.Minute)
		synctest.Wait()
		k.want(t, "b", "c")
		time.Sleep(8 * time.Minute)
		synctest.Wait()
		if n := i.count(); n != 4 {
			t.Errorf("%d fetches, want 4", n)
		}
		if f := k.Figures(); f.Keys != 2 || f.Age != 0 || f.Fetches != 4 || f.Failures != 0 || f.Place != "https://id.example.com/jwks" {
			t.Errorf("figures %+v", f)
		}
		if text := log.String(); !strings.Contains(text, `gained="b, c" lost=a`) || strings.Count(text, "\n") != 2 {
			t.Errorf("the log:\n%s", text)
		}
	})
}

func TestSchedule(t *testing.T) {
	f := func(cache, age string, want time.Duration) {
		t.Helper()
		if got := lifetime(cache, age); got != want {
			t.Errorf("%q, age %q: %s, want %s", cache, age, got, want)
		}
	}
	f("", "", time.Hour)
	f("public", "", time.Hour)
	f("public, max-age=7200", "", 2*time.Hour)
	f("MAX-AGE=7200,public", "1800", 90*time.Minute)
	f(`max-age="7200"`, "", 2*time.Hour)
	f("max-age=0", "", 5*time.Minute)
	f("max-age=7200", "9999", 5*time.Minute)
	f("max-age=-1", "", 5*time.Minute)
	f("max-age=x", "", 5*time.Minute)
	f("max-age=7200", "x", 2*time.Hour)
	f("no-store", "", 5*time.Minute)
	f("no-cache, max-age=7200", "", 5*time.Minute)
	f("max-age=31536000", "", 24*time.Hour)
	f("max-age=18446744073709551616", "", 24*time.Hour)
	f("s-maxage=7200", "", time.Hour)

	if a, b := refresh(time.Hour, 0), refresh(time.Hour, 1); a != 48*time.Minute || b.Round(time.Second) != 43*time.Minute+12*time.Second {
		t.Errorf("refresh at %s to %s", b, a)
	}
	var waits []string
	for n := 1; n <= 11; n++ {
		waits = append(waits, retry(n, false, 0).String())
	}
	if got := strings.Join(waits, " "); got != "1s 2s 4s 8s 16s 32s 1m4s 2m8s 4m16s 5m0s 5m0s" {
		t.Errorf("retries after %s", got)
	}
	if got := retry(1000, true, 0); got != 30*time.Second {
		t.Errorf("without a set: %s", got)
	}
	if got := retry(1000, false, 1); got != 150*time.Second {
		t.Errorf("at the soonest: %s", got)
	}
}

// An issuer that is down at the start is asked again, ever more rarely; those who wait get the set as soon as it is there.
func TestDownAtStart(t *testing.T) {
	i := &issuer{err: errors.New("connection refused"), body: jwks("a")}
	source(t, i, Settings{}, func(t *testing.T, k *Source, log *bytes.Buffer) {
		if set := k.Wait(t.Context(), "a"); set != nil { // the first fetch is under way
			t.Errorf("a set out of nothing: %s", kids(set))
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		k.want(t)
		gaps := i.gaps(2) // the first was asked for by Wait
		for n, gap := range gaps {
			if gap > 30*time.Second || n > 0 && gap < gaps[n-1] {
				t.Errorf("retries %v", gaps)
				break
			}
		}
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "cannot be fetched") || !strings.Contains(text, "connection refused") {
			t.Errorf("the log:\n%s", text)
		}
		if f := k.Figures(); f.Age >= 0 || f.Keys != 0 || f.Failures == 0 || f.Failures != f.Fetches {
			t.Errorf("figures %+v", f)
		}
		i.set(func(i *issuer) { i.err = nil })
		if got := kids(k.Wait(t.Context(), "a")); got != "a" {
			t.Errorf("those who wait get %s", got)
		}
		if !strings.Contains(log.String(), "keys can be fetched again") {
			t.Errorf("the log:\n%s", log)
		}
	})
}

// Whatever is no good set leaves the old one in place, for MaxStale.
func TestDownLater(t *testing.T) {
	for name, spoil := range map[string]func(*issuer){
		"no connection": func(i *issuer) { i.err = errors.New("connection refused") },
		"too large":     func(i *issuer) { i.err = fetch.ErrTooLarge },
		"status 500":    func(i *issuer) { i.status = 500 },
		"status 204":    func(i *issuer) { i.status, i.body = 204, "" },
		"a redirect":    func(i *issuer) { i.status = 302 },
		"garbage":       func(i *issuer) { i.body = "<html>s3cr3t</html>" },
		"cut off":       func(i *issuer) { i.body = jwks("b")[:40] },
		"empty":         func(i *issuer) { i.body = "" },
		"no keys":       func(i *issuer) { i.body = `{"keys":[]}` },
		"no usable key": func(i *issuer) { i.body = `{"keys":[{"kty":"EC","crv":"P-192","kid":"s","x":"AA","y":"AA"}]}` },
	} {
		t.Run(name, func(t *testing.T) {
			i := &issuer{body: jwks("a")}
			source(t, i, Settings{}, func(t *testing.T, k *Source, log *bytes.Buffer) {
				k.Tune(&Tuning{MaxStale: 10 * time.Hour})
				synctest.Wait()
				i.set(spoil)
				time.Sleep(10*time.Hour - 1)
				synctest.Wait()
				k.want(t, "a")
				if f := k.Figures(); f.Failures == 0 {
					t.Fatal("it never failed")
				}
				time.Sleep(1 * time.Nanosecond)
				synctest.Wait()
				k.want(t)
				if text := log.String(); strings.Count(text, "too old") != 1 || strings.Count(text, "cannot be fetched;") != 1 {
					t.Errorf("the log:\n%s", text)
				}
				n := i.count()
				time.Sleep(time.Hour)
				synctest.Wait()
				if more := i.count() - n; more < 5 {
					t.Errorf("%d tries in the hour after", more)
				}
				i.set(func(i *issuer) { i.status, i.body, i.err = 200, jwks("a", "b"), nil })
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				k.want(t, "a", "b")
			})
		})
	}
}

// The operator is told while keys cannot be had, and when they cannot be had again; never a secret of the URL.
func TestAttention(t *testing.T) {
	i := &issuer{body: jwks("a"), takes: time.Second}
	source(t, i, Settings{}, func(t *testing.T, k *Source, log *bytes.Buffer) {
		k.Tune(&Tuning{MaxStale: 2 * time.Hour})
		f := func(want string) {
			t.Helper()
			synctest.Wait()
			got := strings.Join(k.Attention(), "|")
			if got == "" != (want == "") || !strings.Contains(got, want) || strings.Contains(got, "s3cr3t") || want != "" && !strings.Contains(got, "https://id.example.com/jwks") {
				t.Errorf("%q, want %q in it", got, want)
			}
		}
		begin := time.Now()
		at := func(d time.Duration) string { return begin.Add(d).UTC().Format(time.RFC3339) }
		fail := func(err error) { i.set(func(i *issuer) { i.err = err }) }
		f("") // the first fetch is under way
		fail(errors.New("connection refused"))
		time.Sleep(2 * time.Second)
		f("") // it began before
		k.want(t, "a")
		time.Sleep(time.Hour) // the next was due at 80 % of an hour
		f("cannot be fetched since " + at(48*time.Minute+2*time.Second) + ": those there stay in use until " + at(2*time.Hour+time.Second))
		time.Sleep(time.Hour)
		f("were last fetched at " + at(time.Second) + " and are too old now")
		fail(nil)
		time.Sleep(5 * time.Minute)
		f("")
	})
	source(t, &issuer{err: errors.New("connection refused")}, Settings{}, func(t *testing.T, k *Source, log *bytes.Buffer) {
		synctest.Wait()
		if got := strings.Join(k.Attention(), "|"); !strings.Contains(got, "could not be fetched yet, since 2000-01-01T00:00:00Z") {
			t.Error(got)
		}
	})
}

// A rotation costs no good token: the first that names the new key waits for it, and all others with it.
func TestRotation(t *testing.T) {
	i := &issuer{body: jwks("a"), takes: 100 * time.Millisecond}
	source(t, i, Settings{}, func(t *testing.T, k *Source, _ *bytes.Buffer) {
		time.Sleep(time.Minute)
		i.set(func(i *issuer) { i.body = jwks("b") })
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if got := kids(k.Wait(t.Context(), "b")); got != "b" {
					t.Errorf("got %s", got)
				}
			})
		}
		all.Wait()
		if n := i.count(); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
		k.want(t, "b") // and the old key is gone at once
		if got := kids(k.Wait(t.Context(), "b")); got != "b" || i.count() != 2 {
			t.Errorf("got %s after %d fetches", got, i.count())
		}
	})
}

// A fetch that began before the key was there is not the last word on it.
func TestRotationDuringRefresh(t *testing.T) {
	i := &issuer{body: jwks("a"), takes: time.Second}
	source(t, i, Settings{}, func(t *testing.T, k *Source, _ *bytes.Buffer) {
		time.Sleep(time.Second + 48*time.Minute + 500*time.Millisecond) // in the middle of the refresh
		synctest.Wait()
		if n := i.count(); n != 2 {
			t.Fatalf("%d fetches, want 2", n)
		}
		i.set(func(i *issuer) { i.body = jwks("b") })
		if got := kids(k.Wait(t.Context(), "b")); got != "b" {
			t.Errorf("got %s", got)
		}
		if n := i.count(); n != 3 {
			t.Errorf("%d fetches, want 3", n)
		}
	})
}

func TestFloodOfRandomKids(t *testing.T) {
	i := &issuer{body: jwks("a"), takes: 10 * time.Millisecond}
	source(t, i, Settings{}, func(t *testing.T, k *Source, _ *bytes.Buffer) {
		synctest.Wait()
		time.Sleep(time.Second)
		n := 0
		for range 600 { // a minute
			for range 20 {
				n++
				kid := fmt.Sprint("random ", n)
				if got := kids(k.Wait(t.Context(), kid)); got != "a" {
					t.Fatalf("got %s", got)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := i.count(); got < 6 || got > 1+7 {
			t.Errorf("%d fetches in a minute, want one in 10 s", got)
		}
		for n, gap := range i.gaps(2) {
			if gap < 10*time.Second {
				t.Errorf("gap %d is %s", n, gap)
			}
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		if len(k.gate.unknown) > maxUnknown {
			t.Errorf("%d unknown names are kept", len(k.gate.unknown))
		}
	})
}

func TestGate(t *testing.T) {
	g := gate{interval: 10 * time.Second}
	now := time.Unix(1e9, 0)
	f := func(after time.Duration, kid string, want bool) {
		t.Helper()
		now = now.Add(after)
		if got := g.admit(now, kid); got != want {
			t.Errorf("%.10s after %s: %t", kid, after, got)
		}
	}
	f(0, "a", true)
	f(9*time.Second, "b", false)
	f(time.Second, "b", true)
	g.miss(now, "b")
	f(10*time.Second, "b", false) // it was looked for lately
	f(0, "c", true)               // and it cost nobody a turn
	f(50*time.Second, "b", true)
	f(time.Minute, strings.Repeat("k", maxKid+1), false)
	f(0, strings.Repeat("k", maxKid), true)
	for n := range 2 * maxUnknown {
		g.miss(now, fmt.Sprint(n))
	}
	if len(g.unknown) != maxUnknown {
		t.Errorf("%d names are kept", len(g.unknown))
	}
	now = now.Add(time.Hour)
	g.miss(now, "d")
	if len(g.unknown) != 1 {
		t.Errorf("%d names are kept an hour later", len(g.unknown))
	}
}

// Waiting ends with the caller's time, with Stop, and above a number of those who wait.
func TestWaitEnds(t *testing.T) {
	i := &issuer{body: jwks("a"), takes: time.Hour}
	source(t, i, Settings{}, func(t *testing.T, k *Source, _ *bytes.Buffer) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		begin := time.Now()
		if set := k.Wait(ctx, "a"); set != nil || time.Since(begin) != 2*time.Second {
			t.Errorf("%s after %s", kids(set), time.Since(begin))
		}
		var all sync.WaitGroup
		for range maxWaiting {
			all.Go(func() { k.Wait(context.Background(), "a") })
		}
		synctest.Wait()
		begin = time.Now()
		if set := k.Wait(context.Background(), "a"); set != nil || time.Since(begin) != 0 {
			t.Errorf("one more waited for %s", time.Since(begin))
		}
		k.Stop()
		all.Wait()
		if k.waiting.Load() != 0 {
			t.Errorf("%d still wait", k.waiting.Load())
		}
		if set := k.Wait(context.Background(), "a"); set != nil {
			t.Error("a set after the end")
		}
		if f := k.Figures(); f.Failures != 0 {
			t.Error("the end counts as a failure")
		}
	})
}

// What a source is asked for changes while it runs: keys stay, and the smallest that anybody asks for holds.
func TestTune(t *testing.T) {
	i := &issuer{body: jwks("a")}
	source(t, i, Settings{}, func(t *testing.T, k *Source, _ *bytes.Buffer) {
		synctest.Wait()
		long, short := &Tuning{MaxStale: 30 * 24 * time.Hour, Interval: time.Hour}, &Tuning{MaxStale: 10 * time.Minute, Interval: 2 * time.Second}
		k.Tune(long)
		k.Wait(t.Context(), "b")
		k.Tune(short)
		k.want(t, "a")
		if n := i.count(); n != 2 {
			t.Errorf("%d fetches, want the first and the one for b", n)
		}
		time.Sleep(2 * time.Second)
		k.Wait(t.Context(), "c") // an hour would have been too early
		if n := i.count(); n != 3 {
			t.Errorf("%d fetches: the shorter interval does not hold", n)
		}
		time.Sleep(8 * time.Minute)
		synctest.Wait()
		if n := i.count(); n != 4 {
			t.Errorf("%d fetches: nobody confirms the keys before they are too old", n)
		}
		i.set(func(i *issuer) { i.err = errors.New("connection refused") })
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		k.want(t)
		i.set(func(i *issuer) { i.err = nil })
		time.Sleep(time.Minute)
		k.Untune(short)
		i.set(func(i *issuer) { i.err = errors.New("connection refused") })
		time.Sleep(29 * 24 * time.Hour)
		synctest.Wait()
		k.want(t, "a")
		time.Sleep(2 * 24 * time.Hour)
		synctest.Wait()
		k.want(t)
	})
}

// Keys that have to be confirmed sooner from now on are.
func TestTuneWakes(t *testing.T) {
	i := &issuer{body: jwks("a")}
	source(t, i, Settings{}, func(t *testing.T, k *Source, _ *bytes.Buffer) {
		synctest.Wait() // to be fetched again in 48 minutes
		k.Tune(&Tuning{MaxStale: 10 * time.Minute})
		for range 20 {
			time.Sleep(time.Minute)
			synctest.Wait()
			k.want(t, "a")
		}
		if n := i.count(); n != 3 {
			t.Errorf("%d fetches", n)
		}
	})
}

// A source that is stopped while requests wait for its fetch lets it come to its end; nothing is fetched after it.
func TestStopDuringFetch(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration
		want  string
	}{"soon": {time.Second, "a"}, "late": {time.Hour, "none"}} {
		t.Run(name, func(t *testing.T) {
			i := &issuer{body: jwks("a"), takes: c.takes}
			source(t, i, Settings{}, func(t *testing.T, k *Source, _ *bytes.Buffer) {
				synctest.Wait()
				var all sync.WaitGroup
				begin := time.Now()
				for range 3 {
					all.Go(func() {
						if got := kids(k.Wait(context.Background(), "a")); got != c.want {
							t.Errorf("one who waited has %s, want %s", got, c.want)
						}
					})
				}
				synctest.Wait()
				if k.Stop(); time.Since(begin) != 0 {
					t.Errorf("Stop took %s", time.Since(begin))
				}
				if got := kids(k.Wait(context.Background(), "a")); got != c.want { // of an exchange that began before
					t.Errorf("one who came after has %s, want %s", got, c.want)
				}
				all.Wait()
				<-k.Ended()
				if took := time.Since(begin); took != min(c.takes, lastFetch) {
					t.Errorf("the end took %s", took)
				}
				k.Wait(context.Background(), "b")
				time.Sleep(48 * time.Hour)
				if n := i.count(); n != 1 {
					t.Errorf("%d fetches", n)
				}
			})
		})
	}
	// One that waits for a key which is not there yet has it too.
	i := &issuer{body: jwks("a")}
	source(t, i, Settings{}, func(t *testing.T, k *Source, _ *bytes.Buffer) {
		synctest.Wait()
		i.set(func(i *issuer) { i.body, i.takes = jwks("a", "b"), time.Second })
		var all sync.WaitGroup
		all.Go(func() {
			if got := kids(k.Wait(context.Background(), "b")); got != "a b" {
				t.Errorf("the set has %s", got)
			}
		})
		synctest.Wait()
		k.Stop()
		all.Wait()
	})
}

// A token without a kid that fits no key of the set is worth a fetch as one with an unknown kid is.
func TestNoKid(t *testing.T) {
	i := &issuer{body: jwks("a")}
	source(t, i, Settings{}, func(t *testing.T, k *Source, _ *bytes.Buffer) {
		synctest.Wait()
		i.set(func(i *issuer) { i.body = jwks("b") })
		if got := kids(k.Wait(t.Context(), "")); got != "b" || i.count() != 2 {
			t.Errorf("got %s after %d fetches", got, i.count())
		}
		time.Sleep(DefaultInterval)
		if got := kids(k.Wait(t.Context(), "")); got != "b" || i.count() != 2 {
			t.Errorf("got %s after %d fetches", got, i.count())
		}
	})
}

// A fetch that failed says nothing about the key it was for.
func TestUnknownWhileDown(t *testing.T) {
	i := &issuer{body: jwks("a")}
	source(t, i, Settings{}, func(t *testing.T, k *Source, _ *bytes.Buffer) {
		synctest.Wait()
		i.set(func(i *issuer) { i.err = errors.New("connection refused") })
		if got := kids(k.Wait(t.Context(), "b")); got != "a" {
			t.Errorf("got %s", got)
		}
		// The last retry before the interval is over fails too.
		time.Sleep(DefaultInterval)
		synctest.Wait()
		i.set(func(i *issuer) { i.err, i.body = nil, jwks("a", "b") })
		if got := kids(k.Wait(t.Context(), "b")); got != "a b" {
			t.Errorf("got %s", got)
		}
	})
}

func TestNamesInTheLogAreTame(t *testing.T) {
	names := []string{"new\nline\x1b[31m", strings.Repeat("long", 60)}
	for n := range 40 {
		names = append(names, fmt.Sprintf("k%02d", n))
	}
	i := &issuer{body: jwks(names...)}
	i.body = strings.ReplaceAll(i.body, `\x1b`, `\u001b`)
	source(t, i, Settings{}, func(t *testing.T, k *Source, log *bytes.Buffer) {
		synctest.Wait()
		if k.Set() == nil {
			t.Fatal(log)
		}
		if text := log.String(); strings.Count(text, "\n") != 1 || strings.Contains(text, "\x1b") || strings.Contains(text, "longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglong") || !strings.Contains(text, "and 26 more") {
			t.Errorf("the log:\n%s", text)
		}
	})
}

func TestDiscoveryRefused(t *testing.T) {
	const issuer = "https://id.example.com/realm"
	u, err := DiscoveryURL(issuer)
	if err != nil || u.String() != issuer+"/.well-known/openid-configuration" {
		t.Fatalf("%v, %v", u, err)
	}
	if u, err := DiscoveryURL(issuer + "/"); err != nil || u.String() != issuer+"/.well-known/openid-configuration" {
		t.Errorf("%v, %v", u, err)
	}
	for _, bad := range []string{"", "id.example.com", "http://id.example.com", "https://id.example.com?a=b", "https://id.example.com/?", "https://id.example.com/#a", "https://a:b@id.example.com"} {
		if _, err := DiscoveryURL(bad); err == nil {
			t.Errorf("%s is an issuer", bad)
		}
	}
	f := func(status int, body, want string) {
		t.Helper()
		d, err := read(u, issuer, fetch.Response{Status: status, Body: []byte(body)})
		got := fmt.Sprint(err)
		if err == nil {
			got = d.JWKS.String()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%d %s: %s, want %q in it", status, body, got, want)
		}
	}
	f(200, `{"issuer":"https://id.example.com/realm","jwks_uri":"https://keys.example.com/a?b=c"}`, "https://keys.example.com/a?b=c")
	f(302, `{"issuer":"https://id.example.com/realm","jwks_uri":"https://keys.example.com/a"}`, "status 302")
	f(200, `{"issuer":"https://id.example.com/realm/","jwks_uri":"https://keys.example.com/a"}`, `of the issuer "https://id.example.com/realm/"`)
	f(200, `{"issuer":"https://ID.example.com/realm","jwks_uri":"https://keys.example.com/a"}`, "of the issuer")
	f(200, `{"issuer":["https://id.example.com/realm"],"jwks_uri":"https://keys.example.com/a"}`, `of the issuer ""`)
	f(200, `{"jwks_uri":"https://keys.example.com/a"}`, `of the issuer ""`)
	f(200, `{"issuer":"https://evil.example","issuer":"https://id.example.com/realm","jwks_uri":"https://keys.example.com/a"}`, "not the JSON it should be")
	f(200, `{"issuer":"https://id.example.com/realm"}`, "no jwks_uri")
	f(200, `{"issuer":"https://id.example.com/realm","jwks_uri":7}`, "no text")
	f(200, `{"issuer":"https://id.example.com/realm","jwks_uri":"http://id.example.com/a"}`, "has to be https://")
	f(200, `{"issuer":"https://id.example.com/realm","jwks_uri":"http://127.0.0.1/a"}`, "has to be https://")
	f(200, `{"issuer":"https://id.example.com/realm","jwks_uri":"https://169.254.169.254/latest"}`, "link-local")
	f(200, `{"issuer":"https://id.example.com/realm","jwks_uri":"https://[fe80::1]/"}`, "link-local")
	f(200, `{"issuer":"https://id.example.com/realm","jwks_uri":"file:///etc/passwd"}`, "does not begin with https://")
	f(200, `[]`, "not the JSON it should be")
	f(200, ``, "not the JSON it should be")
}

// The document is asked for again at each refresh, since keys may move, and not while a token waits.
func TestDiscoveryIsRepeated(t *testing.T) {
	const name = "https://id.example.com"
	i := &issuer{body: `{"issuer":"https://id.example.com","jwks_uri":"https://id.example.com/jwks","keys":` + strings.TrimSuffix(strings.TrimPrefix(jwks("a"), `{"keys":`), "}") + `}`}
	source(t, i, Settings{Issuer: name}, func(t *testing.T, k *Source, _ *bytes.Buffer) {
		synctest.Wait()
		k.want(t, "a")
		k.Wait(t.Context(), "b")
		time.Sleep(48 * time.Minute)
		synctest.Wait()
		var paths []string
		for _, u := range i.urls {
			paths = append(paths, strings.TrimPrefix(u, name))
		}
		const document, keys = "/.well-known/openid-configuration", "/jwks"
		if got, want := strings.Join(paths, " "), strings.Join([]string{document, keys, keys, document, keys}, " "); got != want {
			t.Errorf("asked for %s, want %s", got, want)
		}
	})
}

// Over real connections: what a source makes of an issuer that misbehaves.
func TestHTTP(t *testing.T) {
	var how atomic.Pointer[http.HandlerFunc]
	answers := func(f http.HandlerFunc) { how.Store(&f) }
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { (*how.Load())(rw, r) }))
	defer s.Close()
	defer close(release)
	client, err := fetch.New(fetch.Settings{MaxBody: MaxBody, Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Stop()
	good := func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/.well-known/openid-configuration" {
			fmt.Fprintf(rw, `{"issuer":%q,"jwks_uri":%q}`, s.URL, s.URL+"/jwks")
			return
		}
		fmt.Fprint(rw, jwks("a"))
	}
	f := func(name string, bad http.HandlerFunc, want string) {
		t.Run(name, func(t *testing.T) {
			answers(bad)
			k := New(Settings{Issuer: s.URL, Client: client, random: func() float64 { return 1 }})
			k.Tune(&Tuning{Interval: time.Nanosecond})
			k.Start()
			defer k.Stop()
			var own keeper
			if _, _, _, err := k.fetch(&own, false); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q in it", err, want)
			}
			if k.Wait(t.Context(), "a") != nil {
				t.Error("there is a set")
			}
			answers(good)
			for k.Set() == nil {
				k.Wait(t.Context(), "a")
			}
			k.want(t, "a")
		})
	}
	garbage := func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "<html>") }
	keys := func(keys http.HandlerFunc) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/jwks" {
				keys(rw, r)
				return
			}
			good(rw, r)
		}
	}
	f("garbage document", garbage, "not the JSON")
	f("garbage keys", keys(garbage), "not the JSON")
	f("huge keys", keys(func(rw http.ResponseWriter, _ *http.Request) { rw.Write(make([]byte, MaxBody+1)) }), "too long")
	f("slow keys", keys(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Write([]byte("{"))
		rw.(http.Flusher).Flush()
		<-release
	}), "no whole answer in time")
	f("redirect", keys(func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/other", http.StatusFound) }), "status 302")
	f("hung up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "closed the connection")
	f("another issuer", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, `{"issuer":"https://evil.example","jwks_uri":%q}`, s.URL+"/jwks")
	}, "https://evil.example")
	f("link-local keys", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, `{"issuer":%q,"jwks_uri":"https://169.254.169.254/jwks"}`, s.URL)
	}, "link-local")
}

// What is logged and shown can be read: times as people write them, and nothing quoted twice.
func TestLogIsPlain(t *testing.T) {
	if at := New(Settings{Issuer: "https://id.example.com/realm"}).Figures().Place; at != "https://id.example.com/realm" {
		t.Error(at)
	}
	for text, want := range map[string]string{"": `""`, "a-1": "a-1", "a b": `"a b"`, "a,b": `"a,b"`, `a"`: `"a\""`, "é": `"\u00e9"`, "\n": `"\n"`, strings.Repeat("a", 65): `"` + strings.Repeat("a", 64) + `"...`} {
		if got := show(text); got != want {
			t.Errorf("%q is shown as %s", text, got)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		i := &issuer{status: 200, body: jwks("a")}
		k := New(Settings{URL: place, Client: i, Log: slog.New(slog.NewJSONHandler(&log, nil)), random: func() float64 { return 0 }})
		k.Start()
		synctest.Wait()
		i.set(func(i *issuer) { i.err = errors.New("connection refused") })
		time.Sleep(48 * time.Hour)
		k.Stop()
		if text := log.String(); !strings.Contains(text, `"for_at_most":"23h12m0s"`) || !strings.Contains(text, `"max_stale":"24h0m0s"`) {
			t.Error(text)
		}
	})
}

// A source that was only judged, as by a configuration that is refused, has asked nobody, and can be stopped.
func TestStopWithoutStart(t *testing.T) {
	i := &issuer{body: jwks("a")}
	k := New(Settings{URL: mustParse(t, "https://id.example.com/jwks"), Client: i})
	k.Stop()
	k.Start()
	if k.Set() != nil || k.Figures().Fetches != 0 {
		t.Error("it has fetched")
	}
}

func mustParse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
