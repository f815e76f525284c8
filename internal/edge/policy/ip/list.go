package ip

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"

	"straum.dev/straum/internal/document"
)

const (
	// maxPrefixes is how many prefixes one file may hold.
	maxPrefixes = 1_000_000
	// maxLine is how many bytes a line of a file may have, its comment included.
	maxLine = 1024
	// maxFile is how many bytes a file may have: a million lines with comments as block lists have them.
	maxFile = 64 << 20
)

// errMoving says that a file was written while it was read.
var errMoving = errors.New("changed while it was read; replace it as a whole, by rename")

// readFile calls yield for each prefix of a file and returns what the file was when it was read. An error names the place.
func readFile(path string, yield func(netip.Prefix)) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // a pipe would never end
		return nil, fmt.Errorf("%s: found %s; allowed: a regular file", path, kindOf(info.Mode()))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if size := before.Size(); size > maxFile {
		return nil, fmt.Errorf("%s: found %d bytes; allowed: up to %d", path, size, maxFile)
	}
	wrong := parse(path, io.LimitReader(f, maxFile), yield)
	after, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !same(before, after) { // whatever was found in it
		return nil, fmt.Errorf("%s: %w", path, errMoving)
	}
	return before, wrong
}

func kindOf(mode fs.FileMode) string {
	if mode.IsDir() {
		return "a directory"
	}
	return "something else (" + mode.Type().String() + ")"
}

// same says whether a file is still what it was, as far as one can tell without reading it.
func same(a, b fs.FileInfo) bool {
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}

// parse reads a prefix a line. A file without a byte is refused: it is more likely being written than meant, and would let everybody in or
// shut everybody out.
func parse(path string, r io.Reader, yield func(netip.Prefix)) error {
	lines := bufio.NewReaderSize(r, maxLine)
	n, prefixes := 0, 0
	for {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			if n == 0 {
				return fmt.Errorf("%s: the file is empty; write a comment (# nobody) into a list that is meant to hold nothing", path)
			}
			return nil
		}
		n++
		if err != nil && err != io.EOF {
			if errors.Is(err, bufio.ErrBufferFull) {
				return fmt.Errorf("%s:%d: found a line of more than %d bytes; allowed: one network or address a line", path, n, maxLine)
			}
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if at := bytes.IndexAny(line, "#;"); at >= 0 {
			line = line[:at]
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		p, err := prefix(line)
		if err != nil {
			return fmt.Errorf("%s:%d: found %s, %w; allowed: a network such as 10.0.0.0/8, 2001:db8::/32 or an address", path, n, shown(line), err)
		}
		if prefixes++; prefixes > maxPrefixes {
			return fmt.Errorf("%s:%d: found more than %d networks; split the file", path, n, maxPrefixes)
		}
		yield(p)
	}
}

// prefix reads what one line says.
func prefix(line []byte) (netip.Prefix, error) {
	var p document.Prefix
	err := p.ParseText(string(line))
	return p.Prefix, err
}

// maxShown is how much of a line an error shows.
const maxShown = 60

func shown(line []byte) string {
	if len(line) > maxShown {
		return strconv.Quote(string(line[:maxShown])) + "…"
	}
	return strconv.Quote(string(line))
}
