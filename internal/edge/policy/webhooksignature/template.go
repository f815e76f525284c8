package webhooksignature

import (
	"errors"
	"fmt"
	"strings"
)

// part is one part of the text that is signed.
type part struct {
	is   piece
	text []byte // of a literal
}

type piece uint8

const (
	literal piece = iota
	identifier
	timestamp
	content
)

// parse reads the description of the text that is signed: {timestamp} and {body} with other text around them. An empty one is what most
// senders do.
func parse(text string, timed bool) ([]part, error) {
	if text == "" {
		if text = "{body}"; timed {
			text = "{timestamp}.{body}"
		}
	}
	var parts []part
	counts := map[string]int{}
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return nil, fmt.Errorf("signed: found %q with a } that closes nothing", text)
		}
		if before != "" {
			parts = append(parts, part{is: literal, text: []byte(before)})
		}
		if !found {
			break
		}
		word, after, closed := strings.Cut(after, "}")
		switch {
		case closed && word == "timestamp":
			parts = append(parts, part{is: timestamp})
		case closed && word == "body":
			parts = append(parts, part{is: content})
		default:
			return nil, fmt.Errorf("signed: found %q; allowed in braces: {timestamp} and {body}", text)
		}
		counts[word]++
		rest = after
	}
	switch {
	case counts["body"] != 1:
		return nil, errors.New("signed: {body} has to stand in it once, or the content would not be signed")
	case timed && counts["timestamp"] != 1:
		return nil, errors.New("signed: {timestamp} has to stand in it once, or the time could be changed by anyone")
	case !timed && counts["timestamp"] > 0:
		return nil, errors.New("signed: has a {timestamp}, so timestamp has to name the field it is in")
	}
	for i, p := range parts {
		if p.is == timestamp && (i > 0 && touches(parts[i-1], false) || i+1 < len(parts) && touches(parts[i+1], true)) {
			return nil, errors.New("signed: next to {timestamp} there has to be something that is no digit, or part of the content could pass for part of the time")
		}
	}
	return parts, nil
}

// touches says whether a part before or after a timestamp might be taken for a part of it.
func touches(p part, after bool) bool {
	if p.is != literal {
		return true
	}
	c := p.text[len(p.text)-1]
	if after {
		c = p.text[0]
	}
	return '0' <= c && c <= '9'
}
