package ban

import (
	"bufio"
	"bytes"
	"fmt"
	"hash/crc64"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// The file is text, a line a record in fields that tabs separate:
//
//	straum bans 1
//	network count began until state rung origin reason by
//	end records checksum
//
// Times are milliseconds of Unix time; until is 0 for a ban without an end. The state is runs or over. Reason and by are quoted as in Go.
// The checksum is CRC-64 (ECMA-182) of all before its line: it finds damage, and is no proof against people.
const (
	head     = "straum bans 1\n"
	longest  = 2048 // bytes of a line
	fields   = 9
	lastWord = "end"
)

var stateWords = [...]string{"runs", "over"}

var polynomial = crc64.MakeTable(crc64.ECMA)

// kept is a copy of what outlives a restart: everything but what is only so in a dry run.
func (l *ledger) kept() []record {
	list := make([]record, 0, len(l.records))
	for _, r := range l.records {
		one := *r
		one.count, one.dries = r.count-r.dries, 0
		if one.count <= 0 {
			continue
		}
		if one.dry && !one.over { // remembered from before
			one.over, one.until = true, one.began
		}
		one.dry = false
		list = append(list, one)
	}
	return list
}

// encode writes the file.
func encode(to io.Writer, list []record) error {
	sum := uint64(0)
	put := func(b []byte) error {
		sum = crc64.Update(sum, polynomial, b)
		_, err := to.Write(b)
		return err
	}
	if err := put([]byte(head)); err != nil {
		return err
	}
	var b []byte
	for i := range list {
		b = appendRecord(b[:0], &list[i])
		if err := put(b); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(to, "%s\t%d\t%016x\n", lastWord, len(list), sum)
	return err
}

func appendRecord(b []byte, r *record) []byte {
	b = r.network.AppendTo(b)
	for _, n := range [...]int64{int64(r.count), r.began, r.until} {
		b = strconv.AppendInt(append(b, '\t'), n, 10)
	}
	state := stateWords[0]
	if r.over {
		state = stateWords[1]
	}
	b = append(append(b, '\t'), state...)
	reason := r.reason
	if r.origin != byHand {
		reason = r.signal.String()
	}
	b = append(append(b, '\t'), r.rung.String()...)
	b = append(append(b, '\t'), originWords[r.origin]...)
	b = strconv.AppendQuote(append(b, '\t'), reason)
	b = strconv.AppendQuote(append(b, '\t'), r.by)
	return append(b, '\n')
}

// decode reads the file into an empty ledger. The error is *damaged for a file that was not written so; the ledger is empty then.
func decode(from io.Reader, l *ledger) error {
	in := bufio.NewReaderSize(from, 1<<16)
	sum, lines := uint64(0), 0
	fail := func(format string, args ...any) error {
		*l = *newLedger(l.most)
		return &damaged{fmt.Sprintf("line %d: ", lines) + fmt.Sprintf(format, args...)}
	}
	for {
		line, err := in.ReadSlice('\n')
		lines++
		switch {
		case err == io.EOF:
			return fail("it ends too early")
		case err == bufio.ErrBufferFull || len(line) > longest:
			return fail("more than %d bytes", longest)
		case err != nil:
			*l = *newLedger(l.most)
			return err
		case lines == 1:
			if string(line) != head {
				return fail("found %.40q; allowed: %q", line, head)
			}
		case bytes.HasPrefix(line, []byte(lastWord+"\t")):
			if want := fmt.Sprintf("%s\t%d\t%016x\n", lastWord, len(l.records), sum); string(line) != want {
				return fail("the checksum or the number of records is wrong")
			}
			if _, err := in.ReadByte(); err != io.EOF {
				return fail("it goes on after its end")
			}
			return nil
		default:
			r, ok := parseRecord(strings.TrimSuffix(string(line), "\n"))
			if !ok || l.records[r.network] != nil || len(l.records) >= l.most {
				return fail("it is no record, is there twice, or is one too many")
			}
			l.records[r.network] = r
			if r.over {
				l.over.add(r)
			} else {
				l.run(r)
			}
		}
		sum = crc64.Update(sum, polynomial, line)
	}
}

func parseRecord(line string) (r *record, ok bool) {
	f := strings.Split(line, "\t")
	if len(f) != fields {
		return nil, false
	}
	n, err := netip.ParsePrefix(f[0])
	if same, ok := canonical(n); err != nil || !ok || same != n {
		return nil, false
	}
	r = &record{network: n, place: -1}
	var numbers [3]int64
	for i := range numbers {
		if numbers[i], err = strconv.ParseInt(f[1+i], 10, 64); err != nil || numbers[i] < 0 {
			return nil, false
		}
	}
	if numbers[0] < 1 || numbers[0] > 1<<31-1 {
		return nil, false
	}
	r.count, r.began, r.until, r.over = int32(numbers[0]), numbers[1], numbers[2], f[4] == stateWords[1]
	if !r.over && f[4] != stateWords[0] {
		return nil, false
	}
	if r.rung, ok = ParseRung(f[5]); !ok {
		return nil, false
	}
	reason, err1 := strconv.Unquote(f[7])
	by, err2 := strconv.Unquote(f[8])
	if err1 != nil || err2 != nil || !readable(reason, 256) || !readable(by, 64) {
		return nil, false
	}
	switch f[6] {
	case originWords[byHand]:
		r.origin, r.reason, r.by = byHand, reason, by
		return r, true
	case originWords[byScore]:
		r.origin = byScore
	case originWords[byNetwork]:
		r.origin = byNetwork
	default:
		return nil, false
	}
	for s, word := range signalWords {
		if word == reason {
			r.signal = Signal(s)
			return r, true
		}
	}
	return nil, false
}
