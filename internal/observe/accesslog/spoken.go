package accesslog

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// fingerprintBytes is how much of a certificate's SHA-256 a line tells: enough to tell one client from another, and nothing of whom
// the certificate names.
const fingerprintBytes = 8

// appendTLS appends what the handshake settled. The hash is made anew for each line: it costs less than a place to keep it, and only
// listeners that ask clients for certificates have it.
func appendTLS(b []byte, t *exchange.TLS) []byte {
	if t == nil {
		return b
	}
	if t.Version >= tls.VersionTLS13 {
		b = append(b, `,"tls":"1.3"`...)
	} else {
		b = append(b, `,"tls":"1.2"`...)
	}
	if t.Resumed {
		b = append(b, `,"resumed":true`...)
	}
	if t.Client != nil {
		sum := sha256.Sum256(t.Client.Raw)
		b = append(b, `,"client_cert":"`...)
		b = hex.AppendEncode(b, sum[:fingerprintBytes])
		b = append(b, '"')
	}
	return b
}

// grpcMatters says of a status of gRPC what matters says of one of HTTP. Unimplemented is what clients are told that ask for what is
// not published.
func grpcMatters(code fault.Code) bool {
	switch code {
	case fault.PermissionDenied, fault.Unauthenticated:
		return true
	case fault.Unimplemented:
		return false
	}
	status := code.Status()
	return status == 429 || status >= 500
}
