package main

import "fmt"

// reach is which of a gateway's listeners the load goes to.
type reach int

const (
	plain     reach = iota // HTTP/1.1 in the clear
	encrypted              // TLS; HTTP/2 where the client asks for it (ALPN), else HTTP/1.1
	h2c                    // HTTP/2 in the clear, known beforehand
)

func (r reach) address(g *ground, gateway string) string {
	return g.address(gateway + [...]string{plain: "", encrypted: "-tls", h2c: "-h2c"}[r])
}

func (r reach) url(g *ground, gateway string) string {
	return fmt.Sprintf("%s://%s", [...]string{plain: "http", encrypted: "https", h2c: "http"}[r], r.address(g, gateway))
}
