package hmac

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
)

// maxDigest is how much of the field Content-Digest is read, in bytes.
const maxDigest = 1 << 10

// agrees says whether the value of a Content-Digest field is of this body (RFC 9530 §2): sha-256 or sha-512 is there, or both, and every one
// of them is right. Other algorithms are not looked at.
func agrees(field string, body []byte) bool {
	if len(field) > maxDigest {
		return false
	}
	known, wrong := 0, false
	r := reader{text: field}
	r.members(func(key string) {
		var said, is [sha512.Size]byte
		text, size := r.bytes(), 0
		r.parameters(nil)
		switch key {
		case "sha-256":
			sum := sha256.Sum256(body)
			size = copy(is[:], sum[:])
		case "sha-512":
			is = sha512.Sum512(body)
			size = len(is)
		default:
			return
		}
		known++
		if !decode(said[:size], text) || subtle.ConstantTimeCompare(said[:size], is[:size]) != 1 {
			wrong = true
		}
	})
	return !r.bad && known > 0 && !wrong
}
