package ticket

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"strconv"
	"time"
)

// Labels keep what is derived for one purpose apart from what is derived for another (RFC 5869 §3.2).
const (
	labelPeriod = "straum session tickets 1 period "
	labelKey    = "straum session tickets 1 key "
)

// derive is HKDF-Expand (RFC 5869 §2.3) of a secret that is uniformly random already.
func derive(from []byte, info string) (key [32]byte) {
	out, err := hkdf.Expand(sha256.New, from, info, len(key))
	if err != nil {
		panic("ticket: " + err.Error()) // only for lengths that a constant rules out
	}
	copy(key[:], out)
	return key
}

// keys are what a listener's context makes of the secrets: the one that encrypts first, as tls.Config.SetSessionTicketKeys wants it.
func (s *Secrets) keys(context string) [][32]byte {
	return [][32]byte{
		derive(s.Current[:], labelKey+context),
		derive(s.Previous[:], labelKey+context),
		derive(s.Next[:], labelKey+context),
	}
}

// Shared is the Source of a fleet; no key of the configuration leads to it yet. It derives the secrets of all periods from one secret:
// boxes that have the same secret and period understand each other's tickets. It does no I/O. Whoever steals the secret can read the
// tickets of all times, so it should be changed now and then.
type Shared struct {
	period Period
	root   []byte
}

// minShared is the least length of a shared secret, in bytes.
const minShared = 32

// NewShared makes a source of a secret of at least 32 bytes, which should be random.
func NewShared(secret []byte, period Period) (*Shared, error) {
	if err := period.check(); err != nil {
		return nil, err
	}
	if len(secret) < minShared {
		return nil, errors.New("ticket: the shared secret has " + strconv.Itoa(len(secret)) + " bytes; wanted are at least " + strconv.Itoa(minShared) + " random ones; make it with: openssl rand -hex 32")
	}
	root, err := hkdf.Extract(sha256.New, secret, []byte(labelPeriod+strconv.FormatInt(period.seconds(), 10)))
	if err != nil {
		return nil, err
	}
	return &Shared{period, root}, nil
}

// Period is the one it was made with.
func (s *Shared) Period() Period { return s.period }

// Secrets derives; it does not fail.
func (s *Shared) Secrets(now time.Time) (Secrets, error) {
	n := s.period.At(now)
	return Secrets{Number: n, Previous: s.secret(n - 1), Current: s.secret(n), Next: s.secret(n + 1)}, nil
}

func (s *Shared) secret(n int64) Secret {
	return derive(s.root, labelPeriod+strconv.FormatInt(n, 10))
}
