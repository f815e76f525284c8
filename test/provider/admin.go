package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"time"
)

// plan is what a path does instead of what it should, or before it.
type plan struct {
	Path   string
	Times  int           // how many requests it is for; 0 is all until the next plan
	Wait   time.Duration // before anything else, in nanoseconds
	Status int           // 0 is to go on as usual
	Body   string
	Close  bool // end the connection without an answer
}

// follow says whether the request was answered.
func (t plan) follow(w http.ResponseWriter, r *http.Request) bool {
	select {
	case <-time.After(t.Wait):
	case <-r.Context().Done():
	}
	if t.Close {
		panic(http.ErrAbortHandler)
	}
	if t.Status == 0 {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(t.Status)
	_, _ = w.Write([]byte(t.Body)) // the client may have left
	return true
}

// adminPlan sets the plan of a path. One that asks for nothing ends it.
func (p *provider) adminPlan(w http.ResponseWriter, r *http.Request) {
	var t plan
	if err := json.NewDecoder(r.Body).Decode(&t); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plans[t.Path] = t
}

// adminRotate changes the signing key; ?keep leaves the older ones in the key set.
func (p *provider) adminRotate(w http.ResponseWriter, r *http.Request) {
	if err := p.rotate(r.URL.Query().Has("keep")); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// adminClaims sets what every ID token of later logins holds besides.
func (p *provider) adminClaims(w http.ResponseWriter, r *http.Request) {
	claims := map[string]any{}
	if err := json.NewDecoder(r.Body).Decode(&claims); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims = claims
}

// adminIss sets what ?is= says as the issuer in answers of the authorization endpoint; - is none at all.
func (p *provider) adminIss(_ http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.iss = p.issuer
	if is := r.URL.Query(); is.Has("is") {
		p.iss = is.Get("is")
	}
}

// adminCounts tells how often each path was asked for.
func (p *provider) adminCounts(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	counts := maps.Clone(p.asked)
	p.mu.Unlock()
	answer(w, counts)
}
