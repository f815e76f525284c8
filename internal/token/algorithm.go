package token

import (
	"crypto"
	_ "crypto/sha256" // for crypto.Hash
	_ "crypto/sha512"
	"slices"
)

// Algorithm is a way to sign a token (RFC 7518 §3.1, RFC 8037, RFC 9864). The empty one is none in particular.
type Algorithm string

// The algorithms known. There are no others; "none" is not among them.
const (
	RS256 Algorithm = "RS256"
	RS384 Algorithm = "RS384"
	RS512 Algorithm = "RS512"
	PS256 Algorithm = "PS256"
	PS384 Algorithm = "PS384"
	PS512 Algorithm = "PS512"
	ES256 Algorithm = "ES256"
	ES384 Algorithm = "ES384"
	ES512 Algorithm = "ES512"
	EdDSA Algorithm = "EdDSA"
	// Ed25519 is EdDSA by its newer name, which says the curve as well (RFC 9864 §2.2).
	Ed25519 Algorithm = "Ed25519"
	HS256   Algorithm = "HS256"
	HS384   Algorithm = "HS384"
	HS512   Algorithm = "HS512"
)

// Algorithms lists all, those with public keys first.
func Algorithms() []Algorithm { return slices.Clone(algorithms) }

var algorithms = []Algorithm{RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519, HS256, HS384, HS512}

// Symmetric says that who can verify can also sign.
func (a Algorithm) Symmetric() bool { return a == HS256 || a == HS384 || a == HS512 }

// known says whether a is an algorithm at all.
func (a Algorithm) known() bool { return slices.Contains(algorithms, a) }

// hash is what is signed in place of the text; 0 for EdDSA, which takes the text itself.
func (a Algorithm) hash() crypto.Hash {
	switch a {
	case RS256, PS256, ES256, HS256:
		return crypto.SHA256
	case RS384, PS384, ES384, HS384:
		return crypto.SHA384
	case RS512, PS512, ES512, HS512:
		return crypto.SHA512
	}
	return 0
}
