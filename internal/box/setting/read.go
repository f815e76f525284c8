package setting

import (
	"fmt"
	"strconv"
	"strings"

	"straum.dev/straum/internal/box"
)

// text reads a setting, with single spaces between its words.
func (s *Sight) text(key string) (string, error) {
	text, err := s.Machine.Read(box.Sysctl(key))
	return strings.Join(strings.Fields(text), " "), err
}

// number reads a setting that is one whole number.
func (s *Sight) number(key string) (int64, error) {
	all, err := s.numbers(key, 1)
	if err != nil {
		return 0, err
	}
	return all[0], nil
}

// numbers reads a setting that is so many whole numbers. One beyond 63 bits is taken for the greatest there is: some limits of the kernel
// are written so.
func (s *Sight) numbers(key string, n int) ([]int64, error) {
	text, err := s.text(key)
	if err != nil {
		return nil, err
	}
	words := strings.Fields(text)
	if len(words) != n {
		return nil, fmt.Errorf("found %q, which is not %d whole numbers", cut(text), n)
	}
	all := make([]int64, n)
	for i, w := range words {
		if all[i], err = strconv.ParseInt(w, 10, 64); err != nil && all[i] == 0 {
			return nil, fmt.Errorf("found %q, which is not a whole number", cut(w))
		}
	}
	return all, nil
}

// cut bounds what of a file gets into an error.
func cut(text string) string { return text[:min(len(text), 64)] }

// since says that the kernel is of this version or a later one. An unknown one is: those before are not maintained any more.
func (s *Sight) since(major, minor int) bool {
	k := s.Facts.Kernel
	return k.Major == 0 || k.AtLeast(major, minor)
}

// counter reads a counter since the box started from /proc/net/netstat or snmp, whose lines come in twos: names, then numbers. 0 when it
// is not there: then nothing was counted.
func (s *Sight) counter(file, group, name string) uint64 {
	text, err := s.Machine.Read(file)
	if err != nil {
		return 0
	}
	var names []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != group+":" {
			continue
		}
		if names == nil {
			names = words
			continue
		}
		for i, n := range names[:min(len(names), len(words))] {
			if n == name {
				v, _ := strconv.ParseUint(words[i], 10, 64)
				return v
			}
		}
		return 0
	}
	return 0
}

// column adds up one column of a table that has a line a processor, in hexadecimal, such as /proc/net/softnet_stat. skip is how many lines
// are headings.
func (s *Sight) column(file string, column, skip int) (sum uint64) {
	text, err := s.Machine.Read(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(text) {
		if skip > 0 {
			skip--
			continue
		}
		if words := strings.Fields(line); column < len(words) {
			v, _ := strconv.ParseUint(words[column], 16, 64)
			sum += v
		}
	}
	return sum
}

// timeWait is how many sockets are in TIME-WAIT now, on either side of their connections.
func (s *Sight) timeWait() int64 {
	if s.Vitals != nil {
		return int64(s.Vitals.Network.TimeWait)
	}
	text, _ := s.Machine.Read("/proc/net/sockstat")
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(words); i += 2 {
			if words[i] == "tw" {
				n, _ := strconv.ParseInt(words[i+1], 10, 64)
				return n
			}
		}
	}
	return 0
}

// power is the least power of two that is not below n.
func power(n int64) int64 {
	p := int64(1)
	for p < n {
		p <<= 1
	}
	return p
}
