package token

import (
	"encoding/base64"
	"strings"
)

// MaxBytes is the longest token that is read when the rules do not say.
const MaxBytes = 8 << 10

// header is what a token says about itself before anybody has vouched for it.
type header struct {
	algorithm Algorithm
	kid       string
	hasID     bool
	typ       string
	hasType   bool
}

// split takes the compact form apart (RFC 7515 §7.1): three parts in base64url, none empty. It looks at every byte, since the standard
// library's decoder passes over line breaks.
func split(compact string) (head, claims, signature string, ok bool) {
	first, second := -1, -1
	for i := range len(compact) {
		switch c := compact[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '.' && first < 0:
			first = i
		case c == '.' && second < 0:
			second = i
		default:
			return "", "", "", false
		}
	}
	if first < 1 || second < first+2 || second == len(compact)-1 {
		return "", "", "", false
	}
	return compact[:first], compact[first+1 : second], compact[second+1:], true
}

// decode undoes base64url without padding; bits behind the last byte must be zero, so that there is one way to write a token.
func decode(part string) ([]byte, bool) {
	out, err := base64.RawURLEncoding.Strict().DecodeString(part)
	return out, err == nil
}

// readHeader reads the first part. It refuses what asks for something we do not do: critical extensions (RFC 7515 §4.1.11, among them an
// unencoded payload, RFC 7797), and keys or addresses of keys, which only a forger gains by (RFC 8725 §3.10). Certificates (x5c, x5t) are
// passed over: many honest issuers name theirs.
func readHeader(part string) (header, Reason) {
	text, ok := decode(part)
	if !ok {
		return header{}, Malformed
	}
	fields, err := Object(text)
	if err != nil {
		return header{}, Malformed
	}
	for _, name := range []string{"crit", "b64"} {
		if _, there := fields[name]; there {
			return header{}, Critical
		}
	}
	for _, name := range []string{"jwk", "jku", "x5u"} {
		if _, there := fields[name]; there {
			return header{}, EmbeddedKey
		}
	}
	var h header
	alg, ok := fields["alg"].(string)
	if !ok {
		return header{}, Malformed
	}
	h.algorithm = Algorithm(alg)
	if kid, there := fields["kid"]; there {
		if h.kid, h.hasID = kid.(string); !h.hasID || len(h.kid) > maxKeyID {
			return header{}, Malformed
		}
	}
	if typ, there := fields["typ"]; there {
		if h.typ, h.hasType = typ.(string); !h.hasType {
			return header{}, Malformed
		}
	}
	return h, Good
}

// KeyID is the name of the key that a token claims to be signed with, so that a fresh set of keys can be asked for. Nobody has vouched
// for it. It is empty when the token names none or its header cannot be read.
func KeyID(compact string) string {
	head, _, ok := strings.Cut(compact, ".")
	if !ok || len(head) > MaxBytes {
		return ""
	}
	h, _ := readHeader(head)
	return h.kid
}

// mediaType makes types comparable: without the part that may be left out, and in one case (RFC 7515 §4.1.9).
func mediaType(typ string) string {
	typ = strings.ToLower(typ)
	if rest, ok := strings.CutPrefix(typ, "application/"); ok && !strings.Contains(rest, "/") {
		return rest
	}
	return typ
}
