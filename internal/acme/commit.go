package acme

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The files of a certificate, in the order in which they are put in place. certmagic stores the notes (json) last, which is how a
// certificate is known to be complete.
var kinds = []string{".key", ".crt", ".json"}

// fresh marks a file that is written and not yet in place.
const fresh = ".new"

// Store keeps value under key. A certificate's key and chain are held back until its notes come; then all three are written
// beside the old ones and put in their place. A disk that is full, or a crash, leaves the old three or the new three.
func (s *store) Store(ctx context.Context, key string, value []byte) error {
	base, kind := split(key)
	if base == "" {
		return s.FileStorage.Store(ctx, key, value)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind != ".json" {
		if s.pending[base] == nil {
			s.pending[base] = map[string][]byte{}
		}
		s.pending[base][kind] = value
		return nil
	}
	held := s.pending[base]
	if held == nil {
		return s.FileStorage.Store(ctx, key, value)
	}
	if err := s.commit(base, map[string][]byte{".key": held[".key"], ".crt": held[".crt"], kind: value}); err != nil {
		return err // what is held back is taken back by Delete
	}
	delete(s.pending, base)
	return nil
}

// Delete removes what is under key: what was held back, if that is how far it came.
func (s *store) Delete(ctx context.Context, key string) error {
	if base, kind := split(key); base != "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		if held := s.pending[base]; held != nil {
			if delete(held, kind); len(held) == 0 {
				delete(s.pending, base)
			}
			return nil
		}
	}
	return s.FileStorage.Delete(ctx, key)
}

// split cuts the key of a certificate's file into what its files share and its kind. Other keys have no base.
func split(key string) (base, kind string) {
	for _, kind := range kinds {
		if base, ok := strings.CutSuffix(key, kind); ok && strings.HasPrefix(key, "certificates/") {
			return base, kind
		}
	}
	return "", ""
}

// commit writes the files and puts them in place. The caller holds mu.
func (s *store) commit(base string, files map[string][]byte) error {
	path := s.Filename(base)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	for _, kind := range kinds {
		if err := write(path+kind+fresh, files[kind]); err != nil {
			for _, kind := range kinds {
				_ = os.Remove(path + kind + fresh)
			}
			return err
		}
	}
	return s.place(path)
}

// place puts what is written in place. It can be done again after a crash.
func (s *store) place(path string) error {
	for _, kind := range kinds {
		if err := os.Rename(path+kind+fresh, path+kind); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	return folder.Sync()
}

// settle ends what a crash left in the middle: the first file to be put in place is the key, so when its fresh one is gone the
// others follow it; as long as it is there nothing was put in place, and the fresh ones are dropped.
func (s *store) settle(key string) error {
	base, _ := split(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.Filename(base)
	if _, err := os.Lstat(path + kinds[0] + fresh); err == nil {
		for i := len(kinds) - 1; i >= 0; i-- { // the key last, as it is what tells the two cases apart
			_ = os.Remove(path + kinds[i] + fresh)
		}
		return nil
	}
	for _, kind := range kinds[1:] {
		if _, err := os.Lstat(path + kind + fresh); err == nil {
			return s.place(path)
		}
	}
	return nil
}

func write(path string, value []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(value)
	return errors.Join(err, f.Sync(), f.Close())
}
