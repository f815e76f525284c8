package introspect

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"time"
)

// sealer seals what is shared: an answer tells of a person, and whoever could write one would be let in.
type sealer struct{ box cipher.AEAD }

func newSealer(key [32]byte, place string) *sealer {
	block, err := aes.NewCipher(derive(key, "seal", place))
	if err != nil {
		panic("BUG: " + err.Error())
	}
	box, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return &sealer{box}
}

// What is sealed: when the answer was given, as Unix milliseconds in eight bytes, and the answer as the server wrote it. The name it stands
// under is sealed with it, so that an answer cannot be moved to another token.
const stampLength = 8

// share tells the fleet. It may fail: the others ask for themselves then.
func (s *Source) share(key name, a *Answer, body []byte, now time.Time) {
	plain := append(binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli())), body...)
	if err := s.shared.Set(key.text(), s.sealer.box.Seal(nil, nil, plain, key[:]), time.Duration(a.stale-now.UnixNano())); err != nil {
		s.figures.unshared.Add(1)
	}
}

// recall is what the fleet remembers, read anew and no longer good than it was when the server gave it; nil for nothing. It may be stale.
func (s *Source) recall(key name, now time.Time) *Answer {
	if s.shared == nil {
		return nil
	}
	sealed, ok, err := s.shared.Get(key.text())
	if err != nil {
		s.figures.unshared.Add(1)
		return nil
	}
	if !ok || len(sealed) > maxAnswer+stampLength+s.sealer.box.Overhead() {
		return nil
	}
	plain, err := s.sealer.box.Open(nil, nil, sealed, key[:])
	if err != nil || len(plain) < stampLength {
		s.figures.forged.Add(1)
		return nil
	}
	given := time.UnixMilli(int64(binary.BigEndian.Uint64(plain)))
	if given.After(now) { // by a gateway whose clock is ahead of ours
		given = now
	}
	a, err := s.settings.read(plain[stampLength:], given)
	if err != nil || !a.Active || now.UnixNano() >= a.stale {
		return nil
	}
	return a
}
