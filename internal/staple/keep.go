package staple

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// suffix marks our files in the directory.
	suffix = ".ocsp"
	// stale is the age of a file that no certificate in use can need: responders' answers are good for ten days at most.
	stale = 30 * 24 * time.Hour
)

// file is where the answer about a certificate is kept.
func (s *Stapler) file(f *followed) string {
	sum := sha256.Sum256(f.subject.leaf.Raw)
	return filepath.Join(s.o.Dir, hex.EncodeToString(sum[:16])+suffix)
}

// kept is what was kept about a certificate, or nil. It is as trustworthy as what comes from the network.
func (s *Stapler) kept(f *followed) []byte {
	if s.o.Dir == "" {
		return nil
	}
	info, err := os.Stat(s.file(f))
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxAnswer {
		return nil
	}
	raw, err := os.ReadFile(s.file(f))
	if err != nil {
		return nil
	}
	return raw
}

// keep keeps an answer. When that fails, the next start has to ask, and nothing else is lost.
func (s *Stapler) keep(f *followed, a answer) {
	if s.o.Dir == "" {
		return
	}
	if err := s.write(s.file(f), a.raw); err != nil {
		s.o.Log.Warn("an answer to staple cannot be kept for the next start", "directory", s.o.Dir, "error", err)
	}
}

// write replaces a file at once, so that no reader finds half of it. What a crash leaves is verified when it is read.
func (s *Stapler) write(name string, data []byte) error {
	if err := os.MkdirAll(s.o.Dir, 0o700); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(s.o.Dir, "new-*"+suffix)
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(data)
	if e := temporary.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(temporary.Name(), name)
}

func (s *Stapler) forget(f *followed) {
	if s.o.Dir != "" {
		_ = os.Remove(s.file(f))
	}
}

// sweep removes what was kept about certificates long gone.
func (s *Stapler) sweep() {
	if s.o.Dir == "" {
		return
	}
	entries, err := os.ReadDir(s.o.Dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && strings.HasSuffix(e.Name(), suffix) && s.o.Now().Sub(info.ModTime()) > stale {
			_ = os.Remove(filepath.Join(s.o.Dir, e.Name()))
		}
	}
}
