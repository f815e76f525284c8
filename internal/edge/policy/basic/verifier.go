package basic

import (
	"errors"
	"runtime"
	"strings"
	"sync/atomic"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/policy"
)

// queued is how many requests may wait for each one that works.
const queued = 32

var errBusy = errors.New("more new passwords are being shown than can be worked on; nobody is told anything about theirs")

// verifier works on passwords, one for each second processor at a time, and remembers what came out: a hash and a password always give the
// same. Right and wrong ones are remembered apart, so that who guesses drives nobody out.
type verifier struct {
	key          markKey
	right, wrong *memory
	work         func(consumer.Password, string) bool
	turns        chan struct{} // holds a value for each that works
	waiting      atomic.Int64
	most         int64 // that may wait

	worked, busy atomic.Uint64
}

func newVerifier() *verifier {
	return newVerifierOf(max(1, runtime.GOMAXPROCS(0)/2), consumer.Password.Verify)
}

func newVerifierOf(turns int, work func(consumer.Password, string) bool) *verifier {
	return &verifier{
		key: newMarkKey(), right: newMemory(rightEntries), wrong: newMemory(wrongEntries), work: work,
		turns: make(chan struct{}, turns), most: int64(turns * queued),
	}
}

// verify says whether a password is right. done is false when too many wait already. The user name is part of what is remembered, so that
// asking twice takes as long for one that is not there as for one that is.
func (v *verifier) verify(hash consumer.Password, username, password string) (right, done bool) {
	m := v.key.mark(hash.String(), username, password)
	if v.right.has(&m) {
		return true, true
	}
	if v.wrong.has(&m) {
		return false, true
	}
	return v.workOn(m, hash, password)
}

// workOn is apart from verify so that what it needs on the heap is not there for what is remembered.
func (v *verifier) workOn(m mark, hash consumer.Password, password string) (right, done bool) {
	select {
	case v.turns <- struct{}{}:
	default:
		if v.waiting.Add(1) > v.most {
			v.waiting.Add(-1)
			v.busy.Add(1)
			return false, false
		}
		v.turns <- struct{}{}
		v.waiting.Add(-1)
	}
	defer func() { <-v.turns }()
	if v.right.has(&m) { // somebody showed the same while we waited
		return true, true
	}
	if v.wrong.has(&m) {
		return false, true
	}
	v.worked.Add(1)
	if right = v.work(hash, strings.Clone(password)); right { // a clone, so that the password itself may stay on the caller's stack
		v.right.add(&m)
	} else {
		v.wrong.add(&m)
	}
	return right, true
}

// Report implements policy.Reporter.
func (v *verifier) Report(figure func(policy.Figure)) {
	figure(policy.Figure{Name: "basic_passwords_worked_on_total", Help: "Passwords hashed, since they were not remembered.", Counter: true, Value: float64(v.worked.Load())})
	figure(policy.Figure{Name: "basic_busy_total", Help: "Requests answered 503 since too many passwords waited to be hashed.", Counter: true, Value: float64(v.busy.Load())})
	figure(policy.Figure{Name: "basic_waiting", Help: "Requests that wait for their password to be hashed.", Value: float64(v.waiting.Load())})
}
