package consumer

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// maxUsername is how long a user name may be, in bytes.
const maxUsername = 255

// What a hash of a password may ask for. It is worked on for every new password that is shown, so it must not ask for the whole box.
const (
	minCost, maxCost = 4, 15
	goodCost         = 10 // OWASP's least for bcrypt

	maxMemory, minMemory = 256 << 10, 8 // KiB; RFC 9106 §3.1 asks for 8 a lane
	goodMemory           = 7 << 10      // OWASP's least, with five passes
	maxPasses            = 10
	maxLanes             = 8

	maxPasswordHash = 512 // bytes of text
)

// Password is the hash of a password. The zero value is one that no password has.
type Password struct{ text string }

// String is the hash as the configuration has it.
func (p Password) String() string { return p.text }

// errPassword does not repeat what was found: it may be the password itself.
var errPassword = errors.New("found no hash of a password; allowed: argon2id ($argon2id$v=19$m=…,t=…,p=…$salt$hash), as straum key password prints it, or bcrypt ($2a$, $2b$ or $2y$); never the password itself")

// ParsePassword reads the hash of a password: bcrypt with a cost of 4 to 15, or argon2id (RFC 9106, in PHC form) with up to 256 MiB, 10 passes
// and 8 lanes.
func ParsePassword(text string) (Password, error) {
	if len(text) > maxPasswordHash {
		return Password{}, errPassword
	}
	if strings.HasPrefix(text, "$argon2id$") {
		if _, err := parseArgon(text); err != nil {
			return Password{}, err
		}
		return Password{text}, nil
	}
	if len(text) != 60 || text[:2] != "$2" || strings.IndexByte("aby", text[2]) < 0 || text[3] != '$' || text[6] != '$' || !only(text[7:], "./") {
		return Password{}, errPassword
	}
	if cost, err := strconv.ParseUint(text[4:6], 10, 8); err != nil || cost < minCost || cost > maxCost {
		return Password{}, fmt.Errorf("found a bcrypt hash of cost %q; allowed: %d to %d", text[4:6], minCost, maxCost)
	}
	return Password{text}, nil
}

// weakness says why a hash is too easy to guess from, empty when it is not.
func (p Password) weakness() string {
	if a, err := parseArgon(p.text); err == nil {
		if a.memory < goodMemory {
			return fmt.Sprintf("is hashed with %d KiB of memory, less than the %d KiB below which guessing is cheap; hash it anew with straum key password", a.memory, goodMemory)
		}
		return ""
	}
	if cost, err := bcrypt.Cost([]byte(p.text)); err == nil && cost < goodCost {
		return fmt.Sprintf("is hashed with bcrypt at cost %d; below %d guessing is cheap; hash it anew with straum key password", cost, goodCost)
	}
	return ""
}

// Verify says whether this is the password. It computes for as long as the hash asks, some 10 to 1000 ms, and is not to be called by many at
// once. bcrypt looks at the first 72 bytes of a password alone.
func (p Password) Verify(password string) bool {
	if p.text == "" {
		return false
	}
	a, err := parseArgon(p.text)
	if err != nil {
		return bcrypt.CompareHashAndPassword([]byte(p.text), []byte(password)) == nil
	}
	sum := argon2.IDKey([]byte(password), a.salt, a.passes, a.memory, a.lanes, uint32(len(a.sum)))
	return subtle.ConstantTimeCompare(sum, a.sum) == 1
}

// argon is an argon2id hash in its parts.
type argon struct {
	memory, passes uint32
	lanes          uint8
	salt, sum      []byte
}

func parseArgon(text string) (a argon, err error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v=19" {
		return a, errPassword
	}
	settings := strings.Split(parts[3], ",")
	if len(settings) != 3 {
		return a, errPassword
	}
	var values [3]uint64
	for i, name := range [...]string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(settings[i], name)
		if !ok || strings.HasPrefix(digits, "0") {
			return a, errPassword
		}
		if values[i], err = strconv.ParseUint(digits, 10, 32); err != nil {
			return a, errPassword
		}
	}
	if values[0] > maxMemory || values[1] > maxPasses || values[2] > maxLanes || values[0] < minMemory*values[2] {
		return a, fmt.Errorf("found an argon2id hash with m=%d,t=%d,p=%d; allowed: m from 8 a lane to %d (KiB), t to %d, p to %d", values[0], values[1], values[2], maxMemory, maxPasses, maxLanes)
	}
	b64 := base64.RawStdEncoding.Strict()
	if a.salt, err = b64.DecodeString(parts[4]); err != nil || len(a.salt) < 8 || len(a.salt) > 64 {
		return a, errPassword
	}
	if a.sum, err = b64.DecodeString(parts[5]); err != nil || len(a.sum) < 16 || len(a.sum) > 64 {
		return a, errPassword
	}
	a.memory, a.passes, a.lanes = uint32(values[0]), uint32(values[1]), uint8(values[2])
	return a, nil
}

// HashPassword makes the hash of a password: argon2id as OWASP's password storage cheat sheet asks for (19 MiB, 2 passes, 1 lane).
func HashPassword(random io.Reader, password string) (string, error) {
	const memory, passes, lanes = 19 << 10, 2, 1
	salt := make([]byte, 16)
	if _, err := io.ReadFull(random, salt); err != nil {
		return "", fmt.Errorf("no random bytes: %w", err)
	}
	sum := argon2.IDKey([]byte(password), salt, passes, memory, lanes, 32)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", memory, passes, lanes, b64.EncodeToString(salt), b64.EncodeToString(sum)), nil
}
