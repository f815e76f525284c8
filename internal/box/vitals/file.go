package vitals

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"os"

	"straum.dev/straum/internal/wording"
)

// file is one of the kernel's that is read again and again: it is kept open and read from its beginning, which makes the kernel write it
// anew. A nil one has nothing to say.
type file struct{ f *os.File }

// open opens a file of the box; one that cannot be opened is told in Lacking and nil.
func (s *Source) open(name string) *file {
	f, err := os.Open(s.machine.Path(name))
	if err != nil {
		s.lack("%s: %v", name, wording.Cause(err))
		return nil
	}
	return &file{f}
}

// openIf is open for what is often not there, and no lack then.
func (s *Source) openIf(name string) *file {
	if _, err := os.Stat(s.machine.Path(name)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return s.open(name)
}

func (f *file) close() {
	if f != nil {
		_ = f.f.Close() // only read from
	}
}

// maxRead is the most that is read of a file: /proc/stat of a box with a thousand processors.
const maxRead = 1 << 20

// read is what a file says now, nil when it cannot be read. It lies in the source's buffer until the next read.
func (s *Source) read(f *file) []byte {
	if f == nil {
		return nil
	}
	for {
		n, err := f.f.ReadAt(s.buffer, 0)
		if err != nil && err != io.EOF {
			return nil
		}
		if n < len(s.buffer) || n >= maxRead {
			return s.buffer[:n]
		}
		s.buffer = make([]byte, 4*len(s.buffer))
	}
}

// lines are those of a text, without their ends.
func lines(text []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(text) > 0 {
			line, rest, _ := bytes.Cut(text, []byte("\n"))
			if !yield(line) {
				return
			}
			text = rest
		}
	}
}

// word cuts the first word off a line: what stands between spaces or tabs.
func word(line []byte) (first, rest []byte) {
	for len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
		line = line[1:]
	}
	end := bytes.IndexAny(line, " \t\n")
	if end < 0 {
		return line, nil
	}
	return line[:end], line[end:]
}

// number reads a number of digits alone; what is none, or too large, is not ok.
func number(text []byte) (n uint64, ok bool) {
	if len(text) == 0 || len(text) > 19 {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// numbers reads as many as there is room for from the beginning of a line, and says how many there were before the first word that is none.
func numbers(line []byte, into []uint64) int {
	for i := range into {
		var w []byte
		w, line = word(line)
		n, ok := number(w)
		if !ok {
			return i
		}
		into[i] = n
	}
	return len(into)
}

// single is a file with one number or more, of which the first.
func (s *Source) single(f *file) (int64, bool) {
	w, _ := word(s.read(f))
	n, ok := number(w)
	return int64(min(n, 1<<62)), ok
}
