// Package hostile holds requests that mean harm, as data (requests.txt), and what it takes to send them: a client that sends bytes as
// they stand, and an endpoint that reads more strictly than any real one and remembers everything.
//
// It serves the tests of steps 2, 3, 7 and 10. It refuses to know how a gateway works.
package hostile

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed requests.txt
var requests string

// Case is one entry of requests.txt.
type Case struct {
	Name   string
	Line   int    // in requests.txt
	Raw    string // the bytes to send
	Want   []int  // statuses of the answers; empty when Closed or Cut
	Closed bool   // closed without an answer
	Cut    bool   // broken off by the client
	Path   bool   // decided by what the path means, not by how the message is written
	Reason string
}

// Refused says whether the connection has to be closed after the answer.
func (c *Case) Refused() bool { return len(c.Want) > 0 && c.Want[len(c.Want)-1] >= 400 }

// Cases reads the table.
func Cases() ([]Case, error) {
	var cases []Case
	names := map[string]bool{}
	for i, line := range strings.Split(requests, "\n") {
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "\t"):
			if len(cases) == 0 {
				return nil, fmt.Errorf("requests.txt:%d: bytes without a name", i+1)
			}
			text, err := unquote(line)
			if err != nil {
				return nil, fmt.Errorf("requests.txt:%d: %w", i+1, err)
			}
			cases[len(cases)-1].Raw += text
		default:
			c, err := begin(line)
			if err == nil && names[c.Name] {
				err = fmt.Errorf("%s stands there twice", c.Name)
			}
			if err != nil {
				return nil, fmt.Errorf("requests.txt:%d: %w", i+1, err)
			}
			names[c.Name] = true
			c.Line = i + 1
			cases = append(cases, c)
		}
	}
	return cases, nil
}

// begin reads "name | want | reason".
func begin(line string) (c Case, err error) {
	name, rest, _ := strings.Cut(line, " | ")
	want, reason, ok := strings.Cut(rest, " | ")
	if !ok {
		return c, fmt.Errorf("%q is not a name, a want and a reason", line)
	}
	c = Case{Name: name, Reason: reason}
	for _, word := range strings.Fields(want) {
		switch word {
		case "path":
			c.Path = true
		case "closed":
			c.Closed = true
		case "cut":
			c.Cut = true
		default:
			status, err := strconv.Atoi(word)
			if err != nil {
				return c, fmt.Errorf("%q is neither a status nor closed, cut or path", word)
			}
			c.Want = append(c.Want, status)
		}
	}
	return c, nil
}

// unquote reads quoted strings, each with "* count" behind it where it is to be repeated.
func unquote(line string) (string, error) {
	var text, last string
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimSpace(rest) {
		if after, ok := strings.CutPrefix(rest, "*"); ok {
			digits, behind, _ := strings.Cut(strings.TrimSpace(after), " ")
			count, err := strconv.Atoi(digits)
			if err != nil || count < 1 {
				return "", fmt.Errorf("%q is not how often to repeat", digits)
			}
			text += strings.Repeat(last, count-1)
			rest = behind
			continue
		}
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return "", fmt.Errorf("no quoted string at %.20q", rest)
		}
		if last, err = strconv.Unquote(quoted); err != nil {
			return "", err
		}
		text += last
		rest = rest[len(quoted):]
	}
	return text, nil
}
