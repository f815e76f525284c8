package disk

import (
	"errors"
	"io"

	"straum.dev/straum/internal/edge/cache/object"
)

// tailGuess is how much of a file's end is read at once, in the hope that all but the body is in it.
const tailGuess = 8 << 10

// loaded is an object that was read.
type loaded struct {
	key    object.Key
	object *object.Object
	handle *handle // nil when the body is in memory, or was not asked for
}

// load reads an object from its file. A short body comes with it when it is asked for, with a long one there is a handle. It waits for the disk.
func (s *Store) load(i id, seq uint64, size int64, verified, body bool) (loaded, error) {
	f, err := s.fs.open(fileName(i, seq))
	if err != nil {
		return loaded{}, err
	}
	s.handles.Add(1)
	l, err := s.read(f, size, verified, body)
	if err == nil && idOf(l.key) != i {
		err = errDamaged
	}
	if err != nil {
		l = loaded{}
	}
	if l.handle == nil {
		s.shut(f)
	} else {
		l.handle.seq = seq
	}
	return l, err
}

func (s *Store) read(f file, size int64, verified, body bool) (l loaded, err error) {
	if size < footerSize {
		return l, errDamaged
	}
	guess := int64(tailGuess)
	if body {
		guess += s.Inline
	}
	guess = min(guess, size)
	if size > guess {
		guess = min(tailGuess, size)
	}
	buf := make([]byte, guess)
	if err := readFull(f, buf, size-guess); err != nil {
		return l, err
	}
	foot, err := readFooter(buf[guess-footerSize:], size)
	if err != nil {
		return l, err
	}
	from := size - guess // where buf begins in the file
	if from > foot.length {
		buf = make([]byte, size-foot.length)
		if err := readFull(f, buf, foot.length); err != nil {
			return l, err
		}
		from = foot.length
	}
	table := buf[foot.length-from : foot.tail()-from]
	head := buf[foot.tail()-from : size-footerSize-from]
	if checksum(table) != foot.table || checksum(head) != foot.head {
		return l, errDamaged
	}
	if !body || foot.length > s.Inline {
		head, table = append([]byte(nil), head...), append([]byte(nil), table...)
	}
	o, _, err := object.Decode(head)
	if err != nil {
		return l, errors.Join(errDamaged, err)
	}
	o.Length = foot.length
	l.key, l.object = foot.key, o
	switch {
	case !body || foot.length == 0:
		return l, nil
	case foot.length <= s.Inline:
		if from > 0 {
			whole := make([]byte, foot.length)
			if err := readFull(f, whole, 0); err != nil {
				return l, err
			}
			buf = whole
		}
		o.Body = buf[:foot.length:foot.length]
		for n := range blocks(foot.length) {
			if !matches(table, n, o.Body[n*blockSize:min((n+1)*blockSize, foot.length)]) {
				return l, errDamaged
			}
		}
		return l, nil
	}
	h := newHandle(s, f, foot, table, verified)
	if !verified {
		// What is damaged is best found before its head is sent.
		first := make([]byte, blockSize)
		if err := readFull(f, first[:min(blockSize, foot.length)], 0); err != nil {
			return l, err
		}
		if !matches(table, 0, first[:min(blockSize, foot.length)]) {
			return l, errDamaged
		}
	}
	o.File = h
	l.handle = h
	return l, nil
}

// readFull reads all of b; a file that is too short is damaged.
func readFull(f file, b []byte, offset int64) error {
	n, err := f.ReadAt(b, offset)
	switch {
	case n == len(b):
		return nil
	case err == io.EOF || err == nil:
		return errDamaged
	}
	return err
}
