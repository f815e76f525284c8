package consumer

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unsafe"
)

// An API key of ours is straum_ID_SECRETCHECK: a public id of 8 characters, by which people and secret scanners tell keys apart; a secret of 43
// characters, which are 256 random bits; and 6 characters of checksum, so that a mistyped key, and most of what is made up, is told without
// looking anything up. All characters are letters and digits.
const (
	keyPrefix   = "straum_"
	keyID       = 8
	keySecret   = 43
	keyCheck    = 6
	keyLength   = len(keyPrefix) + keyID + 1 + keySecret + keyCheck
	keyAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// KeyPattern is the form of our keys as a regular expression, for secret scanners.
const KeyPattern = `straum_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}`

// NewKey makes an API key of random bytes. The key is for who will show it; the id and the hash are for the configuration.
func NewKey(random io.Reader) (key, id, hash string, err error) {
	text := make([]byte, 0, keyLength)
	text = append(text, keyPrefix...)
	if text, err = appendRandom(text, random, keyID); err != nil {
		return "", "", "", err
	}
	text = append(text, '_')
	if text, err = appendRandom(text, random, keySecret); err != nil {
		return "", "", "", err
	}
	check := checksum(view(text))
	text = append(text, check[:]...)
	key = string(text)
	return key, key[len(keyPrefix) : len(keyPrefix)+keyID], FormatHash(Hash(key)), nil
}

// appendRandom appends n characters, each as likely as any other.
func appendRandom(text []byte, random io.Reader, n int) ([]byte, error) {
	var raw [64]byte
	for n > 0 {
		if _, err := io.ReadFull(random, raw[:]); err != nil {
			return nil, fmt.Errorf("no random bytes: %w", err)
		}
		for _, c := range raw {
			if c < 4*62 && n > 0 { // the rest would favour some characters
				text = append(text, keyAlphabet[c%62])
				n--
			}
		}
	}
	return text, nil
}

// checksum is CRC-32 (IEEE 802.3) of all before it, in six digits of base 62.
func checksum(text string) (check [keyCheck]byte) {
	sum := crc32.ChecksumIEEE(unsafe.Slice(unsafe.StringData(text), len(text)))
	for i := keyCheck - 1; i >= 0; i-- {
		check[i] = keyAlphabet[sum%62]
		sum /= 62
	}
	return check
}

// Form is what a key looks like.
type Form uint8

// The forms.
const (
	Foreign Form = iota // not one of ours: nothing can be said
	Sound               // one of ours, with the right checksum
	Damaged             // begins like one of ours, and is none
)

// FormOf says what a key looks like.
func FormOf(key string) Form {
	if !strings.HasPrefix(key, keyPrefix) {
		return Foreign
	}
	if len(key) != keyLength || key[len(keyPrefix)+keyID] != '_' {
		return Damaged
	}
	for i := len(keyPrefix); i < len(key); i++ {
		if i != len(keyPrefix)+keyID && !alphanumeric(key[i]) {
			return Damaged
		}
	}
	if check := checksum(key[:keyLength-keyCheck]); string(check[:]) != key[keyLength-keyCheck:] {
		return Damaged
	}
	return Sound
}

// KeyID is the public id of one of our keys; empty for any other.
func KeyID(key string) string {
	if FormOf(key) != Sound {
		return ""
	}
	return key[len(keyPrefix) : len(keyPrefix)+keyID]
}

// MinKey is how long a key that was not made by NewKey has to be, in characters: its hash is fast to compute, so it must not be guessable.
const MinKey = 20

// Hash is what stands for a key: SHA-256, without a salt or a secret, because a key of 256 random bits can be neither guessed nor found in a
// table.
func Hash(key string) [32]byte {
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(key), len(key)))
}

const hashPrefix = "sha256:"

// base64url is strict, so that one hash has one text.
var base64url = base64.RawURLEncoding.Strict()

// FormatHash writes a hash as the configuration has it.
func FormatHash(hash [32]byte) string { return hashPrefix + base64url.EncodeToString(hash[:]) }

// errHash does not repeat what was found: it may be the key itself.
var errHash = errors.New("found no hash of a key; allowed: sha256: and 43 characters of base64url, as straum key new and straum key hash print it; never the key itself")

// errNoKey is for a hash that scripts make when the key they were to hash is missing.
var errNoKey = errors.New("found the hash of nothing; whoever made it hashed an empty text in place of the key: hash it once more with straum key hash")

// ParseHash reads the hash of a key.
func ParseHash(text string) (hash [32]byte, err error) {
	encoded, ok := strings.CutPrefix(text, hashPrefix)
	if !ok || len(encoded) != base64url.EncodedLen(len(hash)) {
		return hash, errHash
	}
	if _, err := base64url.Decode(hash[:], unsafe.Slice(unsafe.StringData(encoded), len(encoded))); err != nil {
		return [32]byte{}, errHash
	}
	if hash == Hash("") {
		return [32]byte{}, errNoKey
	}
	return hash, nil
}
