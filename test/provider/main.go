// Command provider is a real OpenID provider and OAuth 2.0 authorization server for the black-box tests, on a library that others wrote
// (ory/fosite): code flow with PKCE, refresh tokens that rotate, client credentials, introspection (RFC 7662), revocation (RFC 7009), RS256
// ID tokens with discovery and key set, logout that the relying party begins, and a login page for browsers. A test tells it to misbehave
// over its /admin/ endpoints.
//
// It is a module of its own, so that the gateway's does not depend on the library. It keeps everything in memory, knows no TLS and refuses
// to listen anywhere but on this box.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"
)

func main() {
	var s settings
	address := flag.String("addr", "127.0.0.1:0", "loopback `address` to listen on")
	flag.DurationVar(&s.access, "access", 10*time.Minute, "`lifetime` of access tokens")
	flag.DurationVar(&s.id, "id", 10*time.Minute, "`lifetime` of ID tokens")
	flag.DurationVar(&s.refresh, "refresh", time.Hour, "`lifetime` of refresh tokens")
	flag.DurationVar(&s.code, "code", time.Minute, "`lifetime` of codes")
	flag.BoolVar(&s.jwt, "jwt", false, "make access tokens JWTs")
	flag.BoolVar(&s.always, "always-refresh", false, "give refresh tokens also to those who do not ask for offline_access")
	flag.Func("client", "`id:secret:redirect,redirect` of a client; without a secret it is a public one (more than once)", func(text string) error {
		parts := strings.SplitN(text, ":", 3)
		if len(parts) != 3 {
			return errors.New("want id:secret:redirect,redirect")
		}
		s.clients = append(s.clients, client{parts[0], parts[1], strings.FieldsFunc(parts[2], comma)})
		return nil
	})
	flag.Func("user", "`name:password` of somebody who can log in (more than once)", func(text string) error {
		name, password, ok := strings.Cut(text, ":")
		if !ok {
			return errors.New("want name:password")
		}
		s.users = append(s.users, person{name, password})
		return nil
	})
	flag.Func("after-logout", "`URL` that a browser may be sent to once it has logged out (more than once)", func(text string) error {
		s.afterLogout = append(s.afterLogout, text)
		return nil
	})
	flag.Parse()

	if at, err := netip.ParseAddrPort(*address); err != nil || !at.Addr().IsLoopback() {
		log.Fatalf("-addr %s: want a loopback address and a port", *address)
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	s.issuer = "http://" + listener.Addr().String()
	p, err := newProvider(s)
	if err != nil {
		log.Fatal(err)
	}
	ready, _ := json.Marshal(map[string]string{"issuer": s.issuer})
	fmt.Fprintf(os.Stdout, "%s\n", ready)
	log.Fatal((&http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}).Serve(listener))
}

func comma(r rune) bool { return r == ',' }
