package consumer

import (
	"bufio"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// The bounds of a file of credentials.
const (
	MaxLine  = 8 << 10 // bytes
	MaxLines = 10_000_000
	// maxErrors is how many mistakes of a file are told.
	maxErrors = 10
)

// ReadFile adds the consumers and credentials of a file, one a line, in the form of docs/consumers.md. name is what errors call the file; there
// is one error for each of the first lines that are wrong, as name:line: what.
func (b *Builder) ReadFile(name string, r io.Reader) error {
	var problems []error
	lines := bufio.NewReaderSize(r, 8*MaxLine)
	for number := 1; ; number++ {
		raw, err := lines.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("%s: %w", name, err)
		}
		last := errors.Is(err, io.EOF)
		if last && len(raw) == 0 {
			break
		}
		if number > MaxLines {
			return errors.Join(append(problems, fmt.Errorf("%s: more than %d lines; split the file", name, MaxLines))...)
		}
		if len(raw) > MaxLine {
			return errors.Join(append(problems, &LineError{name, number, fmt.Errorf("a line of more than %d bytes", MaxLine)})...)
		}
		if err := b.line(view(raw)); err != nil {
			if problems = append(problems, &LineError{name, number, err}); len(problems) == maxErrors {
				break
			}
		}
		if last {
			break
		}
	}
	return errors.Join(problems...)
}

// LineError is what is wrong with a line of a file.
type LineError struct {
	File string
	Line int // from 1
	Err  error
}

// Error implements error.
func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap gives what is wrong.
func (e *LineError) Unwrap() error { return e.Err }

// line adds what one line says. It keeps nothing of the line itself.
func (b *Builder) line(line string) error {
	l, err := parseLine(strings.TrimRight(line, "\r\n"))
	if err != nil || !l.any {
		return err
	}
	owner, err := b.owner(&l)
	if err != nil {
		return err
	}
	e := entry{consumer: owner}
	if err := checkLabel(l.id); err != nil {
		return err
	}
	if l.expires != "" {
		at, err := ParseExpires(l.expires)
		if err != nil {
			return err
		}
		e.expires = uint32(at)
	}
	if e.packed, err = b.scopes.addList(l.scopes); err != nil {
		return err
	}
	switch {
	case l.key != "":
		hash, err := ParseHash(l.key)
		if err != nil {
			return err
		}
		return b.key(e, l.id, &hash)
	case l.basic != "":
		username, hash, ok := strings.Cut(l.basic, ":")
		if !ok {
			return errors.New("found basic without a colon; allowed: basic=username:hash")
		}
		password, err := ParsePassword(hash)
		if err != nil {
			return err
		}
		return b.basic(e, l.id, username, password)
	case l.mtls != "":
		mark, err := canonicalMark(l.mtls)
		if err != nil {
			return err
		}
		return b.certificate(e, l.id, mark)
	}
	if l.id != "" || l.expires != "" || l.scopes != "" {
		return errors.New("found id, expires or scopes without a credential; add api_key, basic or mtls, or take them away")
	}
	return nil
}

// owner is the consumer of a line, made when nobody knows it yet. What a line says of one that is known must be what is known.
func (b *Builder) owner(l *line) (uint32, error) {
	if l.consumer == "" {
		return 0, errors.New("a line must say whose credential it has: consumer=ID")
	}
	groups, err := b.groups.addList(l.groups)
	if err != nil {
		return 0, err
	}
	tags, err := b.tags.addList(l.tags)
	if err != nil {
		return 0, err
	}
	var plan *Plan
	if l.plan != "" {
		if plan = b.d.plans[l.plan]; plan == nil {
			return 0, fmt.Errorf("there is no plan %.80q in the configuration", l.plan)
		}
	}
	i, ok := b.d.number(l.consumer, maphash.String(b.d.seed, l.consumer))
	if !ok {
		return b.consumer(l.consumer, l.name, plan, groups, tags)
	}
	c := b.d.consumers.at(i)
	what := ""
	switch {
	case l.name != "" && l.name != c.Name:
		what = "name"
	case l.plan != "" && plan != c.Plan:
		what = "plan"
	case l.groups != "" && b.groups.list[groups].joined != c.GroupList:
		what = "groups"
	case l.tags != "" && !slices.Equal(b.tags.list[tags].words, c.Tags):
		what = "tags"
	default:
		return i, nil
	}
	return 0, fmt.Errorf("the %s of the consumer %s differs from what the configuration or an earlier line says; say it once, where the consumer comes first", what, c.ID)
}

// line is one line in its parts, which are views of it.
type line struct {
	any                                    bool // it is more than a comment
	key, basic, mtls                       string
	consumer, id, name, plan, groups, tags string
	scopes, expires                        string
}

const lineKeys = "api_key, basic, mtls, consumer, id, name, plan, groups, tags, scopes and expires"

func parseLine(text string) (l line, err error) {
	if !utf8.ValidString(text) {
		return l, errors.New("found bytes that are no UTF-8")
	}
	credentials := 0
	for {
		text = strings.TrimLeft(text, " \t")
		if text == "" || text[0] == '#' {
			break
		}
		l.any = true
		end := strings.IndexAny(text, "= \t")
		if end < 1 || text[end] != '=' {
			return l, errors.New("found a word without =; allowed: key=value, with the keys " + lineKeys)
		}
		key := text[:end]
		var value string
		if value, text, err = nextValue(text[end+1:]); err != nil {
			return l, err
		}
		var into *string
		switch key {
		case "api_key":
			into = &l.key
			credentials++
		case "basic":
			into = &l.basic
			credentials++
		case "mtls":
			into = &l.mtls
			credentials++
		case "consumer":
			into = &l.consumer
		case "id":
			into = &l.id
		case "name":
			into = &l.name
		case "plan":
			into = &l.plan
		case "groups":
			into = &l.groups
		case "tags":
			into = &l.tags
		case "scopes":
			into = &l.scopes
		case "expires":
			into = &l.expires
		default: // it is not repeated: somebody may have put a secret there
			return l, errors.New("found an unknown key; allowed: " + lineKeys)
		}
		switch {
		case *into != "":
			return l, fmt.Errorf("found %s twice", key)
		case value == "":
			return l, fmt.Errorf("found %s without a value; leave it out", key)
		}
		*into = value
	}
	if credentials > 1 {
		return l, errors.New("found more than one of api_key, basic and mtls; write a line for each")
	}
	return l, nil
}

// nextValue reads a value: up to the next space, or between quotes, where \" and \\ stand for " and \.
func nextValue(text string) (value, rest string, err error) {
	if text == "" || text[0] != '"' {
		end := strings.IndexAny(text, " \t")
		if end < 0 {
			end = len(text)
		}
		value, rest = text[:end], text[end:]
		if strings.IndexByte(value, '"') >= 0 {
			return "", "", errors.New(`found a quote within a value; write key="value", and \" for a quote`)
		}
		return value, rest, nil
	}
	var b []byte
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			if rest = text[i+1:]; rest != "" && rest[0] != ' ' && rest[0] != '\t' {
				return "", "", errors.New("found text right after a closing quote; leave a space")
			}
			return string(b), rest, nil
		case c == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
			b = append(b, text[i])
		case c == '\\':
			return "", "", errors.New(`found a lone backslash between quotes; allowed: \" and \\`)
		default:
			b = append(b, c)
		}
	}
	return "", "", errors.New("found a quote that is not closed")
}
