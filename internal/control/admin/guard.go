package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// OperatorField is the field in which a caller names the address that somebody works from, as over SSH: it is not banned for some hours.
const OperatorField = "Straum-Operator-Address"

// guarded is the API as every caller gets it.
func (a *Admin) guarded() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if from, err := netip.ParseAddr(r.Header.Get(OperatorField)); err == nil && a.sources.Operator != nil {
			a.sources.Operator(from)
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		a.api.ServeHTTP(w, r)
	})
}

// identified lets those in who name this machine and show the token.
func (a *Admin) identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !namesLoopback(r.Host) {
			refuse(w, http.StatusMisdirectedRequest, "the Host header names another machine; allowed: localhost or a loopback address. A web page may have been made to call here")
			return
		}
		scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		switch {
		case !strings.EqualFold(scheme, "Bearer"):
			w.Header().Set("WWW-Authenticate", `Bearer realm="straum admin"`)
			refuse(w, http.StatusUnauthorized, "no token was shown; send Authorization: Bearer with admin.token of the configuration, or use the unix socket")
		case !a.knows(strings.TrimLeft(shown, " ")):
			w.Header().Set("WWW-Authenticate", `Bearer realm="straum admin", error="invalid_token"`)
			refuse(w, http.StatusUnauthorized, "the token is not admin.token of the configuration in force")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// knows compares digests, so that the time taken tells neither where tokens differ nor how long ours is.
func (a *Admin) knows(token string) bool {
	want := a.token.Load()
	got := sha256.Sum256([]byte(token))
	return want != nil && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// namesLoopback judges a Host header. A name can be made to point anywhere by its owner; these cannot.
func namesLoopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	} else if inner, ok := strings.CutPrefix(host, "["); ok {
		name = strings.TrimSuffix(inner, "]")
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback()
}
