package token

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// Holder is who alone may show a token, by its claim cnf (RFC 7800 §3.1). The zero value is anybody.
type Holder struct {
	bound      bool
	thumbprint string // of the holder's certificate, as x5t#S256 writes it; empty when something else would have to prove it
}

// HolderOf reads cnf. What it says besides the thumbprint of a certificate (RFC 8705 §3.1), such as the key of a proof (jkt, RFC 9449 §6.1),
// nobody here can prove.
func HolderOf(claims map[string]any) Holder {
	cnf, there := claims["cnf"]
	if !there || cnf == nil {
		return Holder{}
	}
	h := Holder{bound: true}
	if members, ok := cnf.(map[string]any); ok && len(members) == 1 {
		h.thumbprint, _ = members["x5t#S256"].(string)
	}
	return h
}

// Proven says whether one who has shown a certificate, in DER, in the handshake of its connection may show the token. An empty certificate is
// none. It allocates nothing.
func (h Holder) Proven(certificate []byte) bool {
	if !h.bound {
		return true
	}
	if h.thumbprint == "" || len(certificate) == 0 {
		return false
	}
	sum := sha256.Sum256(certificate)
	var text [43]byte
	base64.RawURLEncoding.Encode(text[:], sum[:])
	return len(h.thumbprint) == len(text) && subtle.ConstantTimeCompare(text[:], []byte(h.thumbprint)) == 1
}
