package remote

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/cache/purge"
	"straum.dev/straum/internal/keyring"
)

// What stands in Redis, under the prefix of its settings. 1 is the version of all of it: another one has other names and leaves these alone until
// they die.
const (
	place    = "cache:1:"
	channel  = place + "purge"
	logKey   = place + "{rules}:order" // sorted set: the rules' ids by their place in the order they came
	textKey  = place + "{rules}:text"  // hash: time and sealed rule by its id
	floorKey = place + "{rules}:floor" // microseconds: there was no room for rules up to this time
	countKey = place + "{rules}:count" // of places given
)

// names makes the names of keys and seals what they hold. Names are keyed hashes: whoever reads Redis learns neither a URL nor whether one he guesses
// is there.
type names struct {
	key [32]byte
	box cipher.AEAD
}

func newNames(ring *keyring.Ring) *names {
	key := ring.Key("cache seal")
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("BUG: " + err.Error())
	}
	// Nonces are random: after a year of a thousand values a second the odds that two are alike are below one in a hundred million.
	box, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return &names{ring.Key("cache name"), box}
}

// name is that of an object; its lock's has an ending. The braces put both into one slot of a cluster.
func (n *names) name(k object.Key) string {
	return place + "{" + n.hash("object", k[:]) + "}"
}

func lockOf(name string) string { return name + ":lock" }

// rule is the id of a rule: the same for the same rule at another time, which takes its place.
func (n *names) rule(r *purge.Rule) string {
	what := r.Kind.String()
	if r.Soft {
		what += " soft"
	}
	return n.hash(what, []byte(r.Text))
}

func (n *names) hash(what string, of []byte) string {
	h := hmac.New(sha256.New, n.key[:])
	h.Write([]byte(what))
	h.Write([]byte{0})
	h.Write(of)
	return hex.EncodeToString(h.Sum(nil)[:20])
}

// seal appends a text that nobody reads or changes without the fleet's secret, and that is good in one place only.
func (n *names) seal(b, plain []byte, at ...string) []byte {
	return n.box.Seal(b, nil, plain, joined(at))
}

// open gives what seal was given, in the bytes of sealed.
func (n *names) open(sealed []byte, at ...string) ([]byte, bool) {
	plain, err := n.box.Open(sealed[:0], nil, sealed, joined(at))
	return plain, err == nil
}

// joined is texts of fixed lengths, or of which only the last varies.
func joined(at []string) []byte {
	var b []byte
	for _, t := range at {
		b = append(b, t...)
	}
	return b
}

// random is a text nobody else has.
func random() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
