package introspect

import (
	"sync"
	"time"
)

// rests leaves a server alone that fails: five times in a row, then nobody asks it for a second, growing to ten. After that one question
// at a time finds out.
type rests struct {
	mu       sync.Mutex
	failures int   // in a row
	until    int64 // Unix nanoseconds; it is left alone before
	probing  bool
}

const failuresToRest = 5

// change is what an answer made of a server.
type change uint8

const (
	same change = iota
	began
	ceased
)

// may says whether the server may be asked. Who was told so calls note or release.
func (r *rests) may(now int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failures < failuresToRest {
		return true
	}
	if now < r.until || r.probing {
		return false
	}
	r.probing = true
	return true
}

// note counts an answer, or that there was none, and says whether the server began or ceased to be left alone.
func (r *rests) note(ok bool, now int64) change {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.probing = false
	before := r.failures
	if ok {
		r.failures = 0
		if before >= failuresToRest {
			return ceased
		}
		return same
	}
	r.failures++
	if over := r.failures - failuresToRest; over >= 0 {
		r.until = now + int64(min(time.Second<<min(over, 4), 10*time.Second))
		if over == 0 {
			return began
		}
	}
	return same
}

// release counts an answer that says nothing of the server.
func (r *rests) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.probing = false
}

// open says whether the server is being left alone.
func (r *rests) open() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failures >= failuresToRest
}
