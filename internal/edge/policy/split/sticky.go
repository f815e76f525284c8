package split

import (
	"strconv"
	"time"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
)

// cookie tells browsers apart by an id that they are given and send with each request. It says nothing of who they are, and nothing of
// where they are sent.
type cookie struct {
	name        string
	plain, safe string // what follows the id: without TLS, and with it
}

func newCookie(name string, maxAge document.Duration) *cookie {
	rest := "; Path=/; Max-Age=" + strconv.FormatInt(int64(time.Duration(maxAge)/time.Second), 10) + "; HttpOnly; SameSite=Lax"
	return &cookie{name, rest, rest + "; Secure"}
}

// of is the id of the browser that asks: the one it shows, or the one it is about to get.
func (c *cookie) of(x *exchange.Exchange) string {
	if id := x.Request.Said().Cookie(c.name); valid(id) {
		return id
	}
	return x.ID
}

// valid says whether an id can be ours or that of a request.
func valid(id string) bool { return id != "" && len(id) <= 64 }

// give sends the id to a browser that showed none.
func (c *cookie) give(x *exchange.Exchange) {
	if x.Onward.Upstream == "" || valid(x.Request.Said().Cookie(c.name)) {
		return
	}
	text := append(append(append(x.Scratch(), c.name...), '='), x.ID...)
	if x.Request.Scheme == "https" {
		text = append(text, c.safe...)
	} else {
		text = append(text, c.plain...)
	}
	x.Response.Header.Append(exchange.SetCookie, exchange.SetCookie.String(), x.KeepScratch(text))
}
