package purge

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// File is the name of the file that rules are kept in, in the directory of what outlives a restart.
const File = "cache_purges"

const (
	heading = "straum cache purges 1"
	maxFile = 16 << 20 // bytes; MaxRules and MaxBytes stay far below it
)

// Load reads the rules of a directory into a list that is empty. Without a file there are none. After an error it is not known what was purged: what
// outlived the restart must not be used, which a rule for All says.
func (l *List) Load(dir string) error {
	name := filepath.Join(dir, File)
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil {
		err = l.Decode(b)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Save writes the rules to a directory: as a whole or not at all, whenever the box stops. Several at once take turns, so that the last has what all
// of them had.
func (l *List) Save(dir string) error {
	l.saving.Lock()
	defer l.saving.Unlock()
	f, err := os.CreateTemp(dir, "."+File+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(l.Encode(nil))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, File)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Encode appends the rules as lines of text: number, time, kind, hard or soft, and the quoted text; a checksum is the last.
func (l *List) Encode(b []byte) []byte {
	from := len(b)
	b = append(b, heading...)
	b = append(b, '\n')
	for _, r := range l.load() {
		b = strconv.AppendUint(b, r.Number, 10)
		b = append(b, ' ')
		b = r.Append(b)
		b = append(b, '\n')
	}
	return fmt.Appendf(b, "sum %08x\n", crc32.ChecksumIEEE(b[from:]))
}

var errDamaged = errors.New("it is damaged, or of another version; remove it, and what is stored is purged as a whole")

// Decode reads what Encode wrote into a list that is empty.
func (l *List) Decode(b []byte) error {
	if len(b) > maxFile {
		return fmt.Errorf("it has more than %d bytes: %w", maxFile, errDamaged)
	}
	text := string(b)
	body, sum := text, ""
	if i := strings.LastIndex(text, "sum "); i >= 0 {
		body, sum = text[:i], text[i:]
	}
	if sum != fmt.Sprintf("sum %08x\n", crc32.ChecksumIEEE([]byte(body))) {
		return errDamaged
	}
	lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	if lines[0] != heading {
		return errDamaged
	}
	var rules []Rule
	var newest uint64
	for _, line := range lines[1:] {
		first, rest, _ := strings.Cut(line, " ")
		number, err := strconv.ParseUint(first, 10, 62)
		if err != nil || number <= newest || len(rules) == MaxRules {
			return errDamaged
		}
		r, err := Read(rest)
		if err != nil {
			return err
		}
		r.Number, newest = number, number
		rules = append(rules, r)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put(rules)
	l.newest.Store(newest)
	return nil
}

// Append appends a rule without its number: time, kind, hard or soft, and the quoted text.
func (r *Rule) Append(b []byte) []byte {
	b = strconv.AppendInt(b, r.At, 10)
	b = append(b, ' ')
	b = append(b, r.Kind.String()...)
	if r.Soft {
		b = append(b, " soft "...)
	} else {
		b = append(b, " hard "...)
	}
	return strconv.AppendQuoteToASCII(b, r.Text)
}

// Read reads what Append wrote.
func Read(text string) (Rule, error) {
	part := strings.SplitN(text, " ", 4)
	if len(text) > 6*MaxText || len(part) != 4 {
		return Rule{}, errDamaged
	}
	r := Rule{Kind: kinds, Soft: part[2] == "soft"}
	for k, name := range kindNames {
		if part[1] == name {
			r.Kind = Kind(k)
		}
	}
	at, err := strconv.ParseInt(part[0], 10, 64)
	what, err2 := strconv.Unquote(part[3])
	r.At, r.Text = at, what
	switch {
	case err != nil, err2 != nil, r.Kind == kinds, !r.Soft && part[2] != "hard", len(what) > MaxText, (what == "") != (r.Kind == All):
		return Rule{}, errDamaged
	}
	return r, nil
}
