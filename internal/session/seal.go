package session

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// Sealer seals and opens texts. It is immutable and used by many at once.
//
// The lock is XChaCha20-Poly1305 with a random nonce of 24 bytes. Strangers make us seal as often as they ask to log in, and nonces this
// long may be drawn at random without counting (AES-GCM's of 12 bytes: 2³² times for one key).
type Sealer struct {
	locks []lock // the first seals, all open
}

type lock struct {
	id   byte // tells keys apart without trying each
	aead cipher.AEAD
}

// version is the first byte of all that is sealed.
const version = 1

// before is how many bytes stand before the nonce: the version and the key's id.
const before = 2

// overhead is how many bytes sealing adds.
const overhead = before + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead

// New makes a Sealer that seals with key, and opens what key and older ones have sealed.
func New(key [32]byte, older ...[32]byte) *Sealer {
	s := &Sealer{}
	for _, k := range slices.Concat([][32]byte{key}, older) {
		aead, err := chacha20poly1305.NewX(k[:])
		if err != nil {
			panic("BUG: " + err.Error()) // only a key of another length is refused
		}
		id := sha256.Sum256(append([]byte("straum session key id "), k[:]...))
		s.locks = append(s.locks, lock{id[0], aead})
	}
	return s
}

// Seal makes a text of letters, digits, - and _ out of content. It opens for the same bound only, which says what the text is for and
// whose it is.
func (s *Sealer) Seal(bound string, content []byte) string {
	b := make([]byte, before+chacha20poly1305.NonceSizeX, overhead+len(content))
	b[0], b[1] = version, s.locks[0].id
	nonce := b[before:]
	_, _ = rand.Read(nonce) // never fails
	b = s.locks[0].aead.Seal(b, nonce, content, associated(b[0], b[1], bound))
	return base64.RawURLEncoding.EncodeToString(b)
}

// Open gives the content of a text back, or false when it is not one that was sealed for bound.
func (s *Sealer) Open(bound, text string) ([]byte, bool) {
	if len(text) > MaxPieces*PieceSize || len(text) < base64.RawURLEncoding.EncodedLen(overhead) || strings.ContainsAny(text, "\r\n") {
		return nil, false // the decoder would step over line breaks
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || b[0] != version {
		return nil, false
	}
	nonce, sealed := b[before:before+chacha20poly1305.NonceSizeX], b[before+chacha20poly1305.NonceSizeX:]
	for _, l := range s.locks {
		if l.id != b[1] {
			continue
		}
		if content, err := l.aead.Open(nil, nonce, sealed, associated(b[0], b[1], bound)); err == nil {
			return content, true
		}
	}
	return nil, false
}

func associated(version, id byte, bound string) []byte { return append([]byte{version, id}, bound...) }
