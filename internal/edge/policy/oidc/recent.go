package oidc

import (
	"hash/maphash"
	"sync/atomic"

	"straum.dev/straum/internal/session"
)

// recentSlots is how many sessions are remembered for policies of the same settings: a few MB for ordinary tokens, 32 MiB at worst.
const recentSlots = 1024

// opened is a session whose seal was found good, with the text it was in. It is immutable. Whether it is over is asked each time.
type opened struct {
	text    string
	session *session.Session
	who     *person
}

// recent remembers sessions that were opened lately, so that a page with many parts opens one once. A session has one place, by a hash
// that nobody outside can work out, and loses it to the next that has the same.
type recent struct {
	seed  maphash.Seed
	check maphash.Seed
	slots [recentSlots]atomic.Pointer[remembered]
}

type remembered struct {
	*opened
	check uint64
}

func newRecent() *recent { return &recent{seed: maphash.MakeSeed(), check: maphash.MakeSeed()} }

// get gives the session of a text, nil when it is not remembered. Texts are compared only where their secret hashes are the same, so the
// time it takes tells nothing about the texts of others.
func (r *recent) get(text string) *opened {
	m := r.slots[maphash.String(r.seed, text)%recentSlots].Load()
	if m == nil || m.check != maphash.String(r.check, text) || m.text != text {
		return nil
	}
	return m.opened
}

func (r *recent) put(o *opened) {
	r.slots[maphash.String(r.seed, o.text)%recentSlots].Store(&remembered{o, maphash.String(r.check, o.text)})
}
