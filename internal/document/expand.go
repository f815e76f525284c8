package document

import (
	"errors"
	"fmt"
	"strings"
)

// expand replaces ${NAME} and ${NAME:-default}; $$ is one dollar sign, any other dollar sign stands for
// itself. As in a shell, the default also stands in for a variable that is set but empty. Values are taken as
// they are: a ${} inside a value is text.
func (d *Document) expand(text string) (value string, expanded bool, err error) {
	if !strings.Contains(text, "$") {
		return text, false, nil
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 == len(text) {
			b.WriteString(text)
			break
		}
		b.WriteString(text[:i])
		switch text = text[i:]; text[1] {
		case '$':
			b.WriteByte('$')
			text = text[2:]
		case '{':
			v, rest, err := d.variable(text[2:])
			if err != nil {
				return "", true, err
			}
			b.WriteString(v)
			text, expanded = rest, true
		default:
			b.WriteByte('$')
			text = text[1:]
		}
		if b.Len() > MaxText {
			return "", expanded, fmt.Errorf("the text with its variables has more than %d bytes", MaxText)
		}
	}
	if b.Len() > MaxText {
		return "", expanded, fmt.Errorf("the text has more than %d bytes", MaxText)
	}
	return b.String(), expanded, nil
}

// variable reads NAME} or NAME:-default} and returns the value and what follows.
func (d *Document) variable(text string) (value, rest string, err error) {
	body, rest, ok := strings.Cut(text, "}")
	if !ok {
		return "", "", errors.New("found ${ without a closing brace; write $$ for a dollar sign")
	}
	name, fallback, hasFallback := strings.Cut(body, ":-")
	if !isVariable(name) {
		return "", "", fmt.Errorf("found ${%s}; allowed are ${NAME} and ${NAME:-default}, where NAME is letters, digits and _; write $$ for a dollar sign", clip(body))
	}
	var set bool
	if d.sources.Getenv != nil {
		value, set = d.sources.Getenv(name)
	}
	switch {
	case hasFallback && value == "":
		return fallback, rest, nil
	case !set:
		return "", "", fmt.Errorf("the environment variable %s is not set; set it, or write ${%s:-default}", name, name)
	}
	return value, rest, nil
}

func isVariable(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '_' && !('A' <= c && c <= 'Z') && !('a' <= c && c <= 'z') && (i == 0 || !isDigit(c)) {
			return false
		}
	}
	return name != ""
}

// escape writes text so that expand gives it back.
func escape(text string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	var b strings.Builder
	for i := range len(text) {
		if text[i] == '$' && i+1 < len(text) && (text[i+1] == '$' || text[i+1] == '{') {
			b.WriteByte('$')
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
