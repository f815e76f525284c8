package certificate

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/tls"
	"slices"
)

// demand is what a client must be able to do to check a handshake signed with a certificate's key.
type demand struct {
	scheme tls.SignatureScheme // of TLS 1.3, where curve and hash are one choice; 0 asks for nothing
	curve  tls.CurveID         // of TLS 1.2, where the curve is a choice of its own (RFC 8422 §5.1); 0 asks for nothing
}

// demands tells what a public key asks of a client. ok is false for curves that TLS has no signature scheme for. RSA asks for nothing:
// it is what is left for clients that can do no better.
func demands(public any) (d demand, ok bool) {
	switch k := public.(type) {
	case ed25519.PublicKey:
		return demand{scheme: tls.Ed25519}, true
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return demand{tls.ECDSAWithP256AndSHA256, tls.CurveP256}, true
		case elliptic.P384():
			return demand{tls.ECDSAWithP384AndSHA384, tls.CurveP384}, true
		case elliptic.P521():
			return demand{tls.ECDSAWithP521AndSHA512, tls.CurveP521}, true
		}
		return demand{}, false
	}
	return demand{}, true
}

// met says whether the client that sent hello can do what is demanded. It is ClientHelloInfo.SupportsCertificate for a listener that
// speaks TLS 1.2 and 1.3 with ECDHE and AEAD suites, without its two to ten allocations and without asking for the name, which was
// looked at already.
func (d demand) met(hello *tls.ClientHelloInfo) bool {
	if d.scheme == 0 {
		return true
	}
	if slices.Contains(hello.SupportedVersions, tls.VersionTLS13) {
		return slices.Contains(hello.SignatureSchemes, d.scheme)
	}
	if d.curve == 0 {
		return slices.Contains(hello.SignatureSchemes, d.scheme) && slices.ContainsFunc(hello.CipherSuites, signsECDSA)
	}
	return slices.Contains(hello.SupportedCurves, d.curve) && slices.ContainsFunc(hello.SignatureSchemes, isECDSA) &&
		slices.ContainsFunc(hello.CipherSuites, signsECDSA)
}

func isECDSA(s tls.SignatureScheme) bool {
	return s == tls.ECDSAWithP256AndSHA256 || s == tls.ECDSAWithP384AndSHA384 || s == tls.ECDSAWithP521AndSHA512
}

// signsECDSA is for Ed25519 as well: it shares the suites of TLS 1.2 (RFC 8422 §5.10).
func signsECDSA(suite uint16) bool {
	switch suite {
	case tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
		return true
	}
	return false
}
