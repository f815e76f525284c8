package token

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// ParsePEM reads public keys and certificates, one or more, in PEM. The keys have no names and are for all algorithms of their type.
// Certificates are taken as keys in another envelope: neither their dates nor their issuers are looked at. A private key is an error.
func ParsePEM(text []byte) (*Set, error) {
	if len(text) > MaxSetBytes {
		return nil, fmt.Errorf("%d bytes of keys; at most %d are accepted", len(text), MaxSetBytes)
	}
	var keys []*Key
	for n := 1; ; n++ {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if n > MaxKeys {
			return nil, fmt.Errorf("more than %d keys", MaxKeys)
		}
		key, err := parseBlock(block)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", n, err)
		}
		keys = append(keys, key)
	}
	if bytes.Contains(text, []byte("-----BEGIN")) {
		return nil, errors.New("a PEM block that cannot be read")
	}
	if len(keys) == 0 {
		return nil, errors.New("no PEM block; PUBLIC KEY, RSA PUBLIC KEY and CERTIFICATE are read")
	}
	return NewSet(keys...), nil
}

func parseBlock(block *pem.Block) (*Key, error) {
	var public any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			public = certificate.PublicKey
		}
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("a private key; only its public half belongs here, as openssl pkey -pubout prints it")
	default:
		return nil, fmt.Errorf("a PEM block of type %q; PUBLIC KEY, RSA PUBLIC KEY and CERTIFICATE are read", clip(block.Type))
	}
	if err != nil {
		return nil, fmt.Errorf("a %s that cannot be read", block.Type)
	}
	return NewPublicKey("", "", public)
}
