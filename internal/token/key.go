package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
)

// Bounds of keys. Shorter RSA keys are weak (RFC 7518 §3.3), longer ones cost too much to verify with.
const (
	minRSA   = 2048 // bits
	maxRSA   = 4096 // bits
	maxKeyID = 256  // bytes
)

// Key is one key that tokens are verified with. It is immutable and never holds a private key.
type Key struct {
	id        string
	algorithm Algorithm        // the only one it is for; empty for all of its type
	public    crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey; nil for a secret
	secret    []byte
	identity  Identity
}

// Identity stands for one key with everything that is said of it. It gives nothing of a secret away, but should not be shown either.
type Identity [sha256.Size]byte

// ID is the key's name in its set (kid), empty without one.
func (k *Key) ID() string { return k.id }

// Algorithm is the only one the key is for; empty for all of its type.
func (k *Key) Algorithm() Algorithm { return k.algorithm }

// Identity is the same for two keys of the same material, name and algorithm.
func (k *Key) Identity() Identity { return k.identity }

// NewPublicKey makes a key from a public key of crypto/rsa, crypto/ecdsa or crypto/ed25519. algorithm may be empty for all of its type.
// The error names what is wrong with the key: its type, its curve, its length, or that the algorithm is of another type.
func NewPublicKey(id string, algorithm Algorithm, public crypto.PublicKey) (*Key, error) {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if bits := p.N.BitLen(); bits < minRSA || bits > maxRSA {
			return nil, fmt.Errorf("an RSA key of %d bits; %d to %d are accepted", bits, minRSA, maxRSA)
		}
		if p.E < 3 || p.E&1 == 0 || p.E > 1<<31-1 || p.N.Bit(0) == 0 {
			return nil, errors.New("an RSA key whose numbers cannot be right")
		}
	case *ecdsa.PublicKey:
		switch p.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return nil, errors.New("an EC key on a curve other than P-256, P-384 and P-521")
		}
		if _, err := p.Bytes(); err != nil {
			return nil, errors.New("an EC key that is no point of its curve")
		}
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("an Ed25519 key of %d bytes; it must have %d", len(p), ed25519.PublicKeySize)
		}
	default:
		return nil, errors.New("a key that is none of RSA, EC and Ed25519")
	}
	return finish(&Key{id: id, algorithm: algorithm, public: public})
}

// NewSecretKey makes a key for one of HS256, HS384 and HS512. The secret must be at least as long as the algorithm's hash, 32, 48 or 64
// bytes (RFC 7518 §3.2). It is copied. Errors do not show it.
func NewSecretKey(id string, algorithm Algorithm, secret []byte) (*Key, error) {
	if !algorithm.Symmetric() {
		return nil, errors.New("a secret is for one of HS256, HS384 and HS512")
	}
	if least := algorithm.hash().Size(); len(secret) < least {
		return nil, fmt.Errorf("a secret of %d bytes; %s asks for at least %d", len(secret), algorithm, least)
	}
	return finish(&Key{id: id, algorithm: algorithm, secret: append([]byte(nil), secret...)})
}

// finish checks what all keys have in common and works the identity out.
func finish(k *Key) (*Key, error) {
	if len(k.id) > maxKeyID {
		return nil, fmt.Errorf("a key id of %d bytes; at most %d are accepted", len(k.id), maxKeyID)
	}
	if k.algorithm != "" && !k.fits(k.algorithm) {
		return nil, fmt.Errorf("a key that is said to be for %q, which is no algorithm of its type", clip(string(k.algorithm)))
	}
	material := k.secret
	if k.public != nil {
		var err error
		if material, err = x509.MarshalPKIXPublicKey(k.public); err != nil {
			return nil, errors.New("a public key that cannot be written down")
		}
	}
	h := sha256.New()
	for _, part := range [][]byte{[]byte(k.id), []byte(k.algorithm), material} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write(part)
	}
	h.Sum(k.identity[:0])
	return k, nil
}

// fits says whether the key may verify a: both must be of one type, so that no public key ever serves as a secret, and a curve has its
// one algorithm.
func (k *Key) fits(a Algorithm) bool {
	if k.algorithm != "" && k.algorithm != a && (k.algorithm != EdDSA || a != Ed25519) && (k.algorithm != Ed25519 || a != EdDSA) {
		return false
	}
	switch p := k.public.(type) {
	case *rsa.PublicKey:
		switch a {
		case RS256, RS384, RS512, PS256, PS384, PS512:
			return true
		}
	case *ecdsa.PublicKey:
		switch p.Curve {
		case elliptic.P256():
			return a == ES256
		case elliptic.P384():
			return a == ES384
		case elliptic.P521():
			return a == ES512
		}
	case ed25519.PublicKey:
		return a == EdDSA || a == Ed25519
	case nil:
		return k.secret != nil && a.Symmetric() && len(k.secret) >= a.hash().Size()
	}
	return false
}

// sort is what kind of key it is, for people: "RSA", "EC P-256 for ES256".
func (k *Key) sort() string {
	word := "a secret"
	switch p := k.public.(type) {
	case *rsa.PublicKey:
		word = "RSA"
	case *ecdsa.PublicKey:
		word = "EC " + p.Curve.Params().Name
	case ed25519.PublicKey:
		word = "Ed25519"
	}
	if k.algorithm != "" {
		word += " for " + string(k.algorithm)
	}
	return word
}

// verify says whether signature is a's for text under this key. It calls the standard library itself: a third cheaper than through a
// JOSE library, with which the tests compare it.
func (k *Key) verify(a Algorithm, text string, signature []byte) bool {
	if !k.fits(a) {
		return false
	}
	if public, ok := k.public.(ed25519.PublicKey); ok {
		return len(signature) == ed25519.SignatureSize && ed25519.Verify(public, []byte(text), signature)
	}
	if k.public == nil {
		mac := hmac.New(a.hash().New, k.secret)
		mac.Write([]byte(text))
		return hmac.Equal(mac.Sum(nil), signature)
	}
	h := a.hash().New()
	h.Write([]byte(text))
	digest := h.Sum(nil)
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		if a[0] == 'P' {
			// The salt is as long as the hash (RFC 7518 §3.5).
			options := rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			return rsa.VerifyPSS(public, a.hash(), digest, signature, &options) == nil
		}
		return rsa.VerifyPKCS1v15(public, a.hash(), digest, signature) == nil
	case *ecdsa.PublicKey:
		// Both numbers in full length, one after the other (RFC 7518 §3.4).
		size := (public.Params().BitSize + 7) / 8
		if len(signature) != 2*size {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
		return ecdsa.Verify(public, digest, r, s)
	}
	return false
}

// clip shortens text of others for an error.
func clip(text string) string {
	const most = 40
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
