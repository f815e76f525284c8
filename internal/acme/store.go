package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"golang.org/x/sys/unix"
)

// lockPoll is how often a lock that somebody else holds is tried again.
const lockPoll = 50 * time.Millisecond

// store keeps accounts and certificates in a directory, in certmagic's layout. Two things differ from certmagic's own file
// storage. Locks are the kernel's (flock), so that those of a process that died are free; a lock file that was cut short or left
// behind means nothing. And a certificate, its key and its notes are stored as one (commit.go).
type store struct {
	certmagic.FileStorage

	mu      sync.Mutex // guards what follows
	locks   map[string]*os.File
	pending map[string]map[string][]byte // by folder and name without its kind: what is not complete yet, by kind
}

var _ certmagic.Storage = (*store)(nil)

func newStore(directory string) *store {
	return &store{
		FileStorage: certmagic.FileStorage{Path: directory},
		locks:       map[string]*os.File{},
		pending:     map[string]map[string][]byte{},
	}
}

// Lock waits for the lock of that name until ctx ends. It holds against other processes and against this one.
func (s *store) Lock(ctx context.Context, name string) error {
	for {
		switch ok, err := s.TryLock(ctx, name); {
		case err != nil:
			return err
		case ok:
			return nil
		}
		timer := time.NewTimer(lockPoll)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// TryLock takes the lock of that name if it is free.
func (s *store) TryLock(_ context.Context, name string) (bool, error) {
	path := filepath.Join(s.Path, "locks", certmagic.StorageKeys.Safe(name)+".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false, err
	}
	// The file stays: one that is removed under a waiting process would let two in.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return false, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
			return false, nil
		}
		return false, fmt.Errorf("locking %s: %w", path, err)
	}
	s.mu.Lock()
	s.locks[name] = f
	s.mu.Unlock()
	return true, nil
}

// Unlock frees a lock that is held.
func (s *store) Unlock(_ context.Context, name string) error {
	s.mu.Lock()
	f := s.locks[name]
	delete(s.locks, name)
	s.mu.Unlock()
	if f == nil {
		return fmt.Errorf("lock %s is not held", name)
	}
	return f.Close()
}

// fileMost bounds a file of the store that is read, in bytes. The largest are chains, of some ten kilobytes.
const fileMost = 1 << 20

// Load reads what is kept under key. The error is fs.ErrNotExist if nothing is. What somebody has put in the place of a file and is none
// is refused; a pipe is not waited for.
func (s *store) Load(_ context.Context, key string) ([]byte, error) {
	f, err := os.OpenFile(s.Filename(key), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file; remove it, and it is made anew", f.Name())
	}
	text, err := io.ReadAll(io.LimitReader(f, fileMost+1))
	if len(text) > fileMost {
		return nil, fmt.Errorf("%s is larger than %d bytes; remove it, and it is made anew", f.Name(), fileMost)
	}
	return text, err
}

// holding reads a certificate and its key. The error is fs.ErrNotExist if there is none.
func (s *store) holding(ctx context.Context, issuer, name string) (*holding, error) {
	base := certmagic.StorageKeys.SiteCert(issuer, name)
	if err := s.settle(base); err != nil {
		return nil, err
	}
	chainPEM, err := s.Load(ctx, base)
	if err != nil {
		return nil, err
	}
	keyPEM, err := s.Load(ctx, certmagic.StorageKeys.SitePrivateKey(issuer, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no key beside it", s.Filename(base))
	}
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chainPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Filename(base), err)
	}
	for _, der := range pair.Certificate[1:] { // X509KeyPair has read the first, and made it Leaf
		if _, err := x509.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Filename(base), err)
		}
	}
	return &holding{pair: &pair, issuer: issuer}, nil
}
