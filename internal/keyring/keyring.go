// Package keyring derives keys from one secret: a key for each purpose, the same after a restart and, when the secret is configured, on
// every node of a fleet. It serves policies of step 4 that seal cookies or remember what must not be readable.
//
// It refuses to give the secret itself away, or one key for two purposes.
package keyring

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// MinSecret is how long a secret has to be, in bytes.
const MinSecret = 32

// Ring derives keys. It is immutable.
type Ring struct{ root []byte }

// New makes a ring from a secret of at least MinSecret bytes.
func New(secret []byte) (*Ring, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("the secret has %d bytes; it must have at least %d", len(secret), MinSecret)
	}
	root, err := hkdf.Extract(sha256.New, secret, nil)
	if err != nil {
		return nil, err
	}
	return &Ring{root}, nil
}

// Random makes a ring whose keys are good for this process alone.
func Random() *Ring {
	secret := make([]byte, MinSecret)
	_, _ = rand.Read(secret) // never fails
	r, err := New(secret)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return r
}

// Load makes a ring from the secret in a file, which is made, open to its owner only, when it is not there.
func Load(file string) (*Ring, error) {
	secret, err := os.ReadFile(file)
	if err == nil {
		r, err := New(secret)
		if err != nil {
			return nil, fmt.Errorf("%s: %w; remove the file to have a new one made, which ends sessions", file, err)
		}
		return r, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	secret = make([]byte, MinSecret)
	_, _ = rand.Read(secret) // never fails
	return keep(file, secret)
}

// keep writes a new secret, unless somebody else just did: then theirs counts.
func keep(file string, secret []byte) (*Ring, error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".secret-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(secret)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(f.Name(), file); errors.Is(err, fs.ErrExist) {
		return Load(file)
	} else if err != nil {
		return nil, err
	}
	return New(secret)
}

// Key is the key for a purpose. Purposes are constants of the code, such as "oidc session".
func (r *Ring) Key(purpose string) [32]byte {
	key, err := hkdf.Expand(sha256.New, r.root, purpose, 32)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return [32]byte(key)
}
