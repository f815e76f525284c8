package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"
)

// maxPlace is how much of a URL stands in an error or a log line, in bytes.
const maxPlace = 200

// Place is a URL as it may stand in errors and logs: without user, password and query.
func Place(u *url.URL) string {
	place := u.Scheme + "://" + u.Host + u.EscapedPath()
	if len(place) > maxPlace {
		place = place[:maxPlace] + "..."
	}
	return place
}

var (
	errUnreadable = errors.New("the answer is no HTTP that can be read, or the connection broke")
	errClosed     = errors.New("the peer closed the connection before the end of its answer")
)

// explain keeps errors whose words are ours or the system's. Others may quote what the peer sent, which may be what we sent it, a secret
// among it.
func explain(ctx context.Context, err error, timeout time.Duration) error {
	if why := ctx.Err(); why != nil {
		if errors.Is(why, context.DeadlineExceeded) {
			return fmt.Errorf("no whole answer in time (at most %s): %w", timeout, why)
		}
		return why
	}
	var (
		op      *net.OpError
		dns     *net.DNSError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		timeOut net.Error
	)
	switch {
	case errors.Is(err, ErrTooLarge):
		return err
	case errors.Is(err, errGuard):
		return err
	case errors.As(err, &record):
		return errors.New("the peer does not speak TLS there")
	case errors.As(err, &verify):
		return verify
	case errors.As(err, &dns):
		return dns
	case errors.As(err, &op):
		return op
	case errors.As(err, &timeOut) && timeOut.Timeout():
		return errors.New("no answer in time")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errClosed
	}
	return errUnreadable
}
