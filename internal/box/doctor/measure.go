package doctor

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"os"
	"slices"
	"time"
)

// Bounds of what is measured.
const (
	writeRounds = 16
	writeTime   = 1500 * time.Millisecond // no round begins after it: three volumes must fit into the time of one check
	block       = 4 << 10                 // bytes of a write
	sealTime    = 20 * time.Millisecond
	record      = 16 << 10 // bytes of a TLS record
)

// readClock measures what one reading of the clock takes. The best of several rounds is what it takes when nobody else has the processor.
func readClock() time.Duration {
	const rounds, readings = 8, 256
	best := time.Hour
	for range rounds {
		began := time.Now()
		for range readings - 1 {
			_ = time.Now()
		}
		best = min(best, time.Since(began)/readings)
	}
	return best
}

// seal measures AES-128-GCM on records as TLS sends them.
func seal() float64 {
	c, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		return 0
	}
	g, err := cipher.NewGCM(c)
	if err != nil {
		return 0
	}
	nonce, text := make([]byte, g.NonceSize()), make([]byte, record)
	out := make([]byte, 0, record+g.Overhead())
	best := time.Hour
	for began := time.Now(); time.Since(began) < sealTime; {
		one := time.Now()
		out = g.Seal(out[:0], nonce, text, nil) // the text is nothing and goes nowhere: the nonce may repeat
		best = min(best, time.Since(one))
	}
	return record / max(best, 1).Seconds()
}

// there says whether a directory is.
func there(directory string) bool {
	s, err := os.Stat(directory)
	return err == nil && s.IsDir()
}

// write measures a directory's disk as the gateway would use it: with this user's rights, by a file of at most 64 KiB that is gone
// afterwards. The file has a name while it is there, because some file systems do not care to keep one that has none.
func write(ctx context.Context, directory string) (w Writing, err error) {
	f, err := os.CreateTemp(directory, ".straum-doctor-")
	if err != nil {
		return w, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var writes, syncs []time.Duration
	data := make([]byte, block)
	for began := time.Now(); len(syncs) < writeRounds && time.Since(began) < writeTime && ctx.Err() == nil; {
		a := time.Now()
		if _, err := f.Write(data); err != nil {
			return w, err
		}
		b := time.Now()
		if err := f.Sync(); err != nil {
			return w, err
		}
		writes, syncs = append(writes, b.Sub(a)), append(syncs, time.Since(b))
	}
	if len(syncs) == 0 {
		return w, fmt.Errorf("there was no time for it: %w", ctx.Err())
	}
	slices.Sort(writes)
	slices.Sort(syncs)
	middle := len(syncs) / 2
	return Writing{Rounds: len(syncs), Write: writes[middle], Sync: syncs[middle], LongWrite: writes[len(writes)-1], LongSync: syncs[len(syncs)-1]}, nil
}
