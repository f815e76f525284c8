package ticket

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ring is what a file holds: the secrets of a few periods. Its text, of version 1, is
//
//	straum session ticket secrets 1
//	period 43200
//	41042 5c0f…  (64 hexadecimal digits)
//	41043 91aa…
//	41044 07be…
//	sum d2c1…    (SHA-256 of all lines before, 64 digits)
type ring struct {
	period  Period
	secrets map[int64]Secret
}

const (
	header = "straum session ticket secrets 1"
	family = "straum session ticket secrets "
	// maxSecrets bounds the secrets of a file: those of three periods.
	maxSecrets = 3
	// maxFile bounds its length, in bytes.
	maxFile = 1 << 10
)

var errFormat = errors.New("its text is not what straum writes")

// parse reads the text of a file.
func parse(text []byte) (*ring, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	i := bytes.LastIndex(text, []byte("sum "))
	if i < 0 || !bytes.HasPrefix(text, []byte(family)) {
		return nil, errFormat
	}
	lines := strings.Split(string(text[:i]), "\n")
	if lines[0] != header {
		return nil, fmt.Errorf("its version is %q; this straum reads version 1", strings.TrimPrefix(lines[0], family))
	}
	if sum := sha256.Sum256(text[:i]); subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])+"\n"), text[i+len("sum "):]) != 1 {
		return nil, errors.New("its sum does not fit: it was damaged or edited")
	}
	if len(lines) < 3 || len(lines) > maxSecrets+3 || lines[len(lines)-1] != "" {
		return nil, errFormat
	}
	seconds, ok := strings.CutPrefix(lines[1], "period ")
	n, err := strconv.ParseInt(seconds, 10, 32)
	if !ok || err != nil {
		return nil, errFormat
	}
	r := &ring{period: Period(time.Duration(n) * time.Second), secrets: map[int64]Secret{}}
	if err := r.period.check(); err != nil {
		return nil, err
	}
	for _, line := range lines[2 : len(lines)-1] {
		number, digits, _ := strings.Cut(line, " ")
		n, err := strconv.ParseInt(number, 10, 64)
		secret, bad := hex.DecodeString(digits)
		if err != nil || n < 0 || bad != nil || len(secret) != len(Secret{}) {
			return nil, errFormat
		}
		if _, twice := r.secrets[n]; twice {
			return nil, errFormat
		}
		r.secrets[n] = Secret(secret)
	}
	return r, nil
}

// text is what parse reads.
func (r *ring) text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nperiod %d\n", header, r.period.seconds())
	for _, n := range r.numbers() {
		s := r.secrets[n]
		fmt.Fprintf(&b, "%d %s\n", n, hex.EncodeToString(s[:]))
	}
	sum := sha256.Sum256(b.Bytes())
	fmt.Fprintf(&b, "sum %s\n", hex.EncodeToString(sum[:]))
	return b.Bytes()
}

// turn makes the ring hold the secrets of the periods n-1 to n+1 and no others, drawing those it has not. It says whether anything
// changed.
func (r *ring) turn(n int64, draw func() Secret) (changed bool) {
	next := make(map[int64]Secret, maxSecrets)
	for each := max(0, n-1); each <= n+1; each++ {
		secret, have := r.secrets[each]
		if !have {
			secret, changed = draw(), true
		}
		next[each] = secret
	}
	changed = changed || len(next) != len(r.secrets)
	r.secrets = next
	return changed
}

// around gives the secrets of the period n and its neighbours, which turn has made sure of. Before the first period there was none;
// its secret stands in.
func (r *ring) around(n int64) Secrets {
	return Secrets{Number: n, Previous: r.secrets[max(0, n-1)], Current: r.secrets[n], Next: r.secrets[n+1]}
}

func (r *ring) numbers() []int64 { return slices.Sorted(maps.Keys(r.secrets)) }
