package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// kind sorts errors into what is told apart: in deciding, and in telling operators once rather than at every try.
type kind byte

const (
	fine kind = iota
	notFound
	timeout
	many
	other
)

var (
	errNotFound = errors.New("no such host, or no addresses")
	errUnusable = errors.New("only addresses that nobody can connect to (unspecified, multicast or broadcast)")
)

// tooMany is told although the look-up went well.
type tooMany struct{ found int }

func (e *tooMany) Error() string {
	return fmt.Sprintf("%d addresses, the first %d of which are used; give the rest a name and an endpoint of their own", e.found, MaxAddresses)
}

func kindOf(err error) kind {
	if err == nil {
		return fine
	}
	if errors.Is(err, errNotFound) {
		return notFound
	}
	if e := (*tooMany)(nil); errors.As(err, &e) {
		return many
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return timeout
	}
	if e := (*net.DNSError)(nil); errors.As(err, &e) {
		switch {
		case e.IsNotFound:
			return notFound
		case e.IsTimeout:
			return timeout
		}
		return other
	}
	// What net.Resolver says when the hosts file has the name, but no address of the family.
	if e := (*net.AddrError)(nil); errors.As(err, &e) {
		return notFound
	}
	return other
}
