package session

import (
	"errors"
	"strings"
)

// How much room a text takes in a browser, which keeps 4096 bytes a cookie with its name and attributes (RFC 6265 §6.1).
const (
	MaxPieces = 4
	PieceSize = 3584 // bytes
)

// ErrTooLarge is a text that does not go into MaxPieces cookies.
var ErrTooLarge = errors.New("the tokens are too large for a session cookie: 4 cookies of 3.5 KiB are the most a session may take; ask for fewer scopes or claims")

// Split cuts a text into pieces. The first begins with their number, so that what is left of an older, longer text does not count.
func Split(text string) ([]string, error) {
	text = "1." + text
	if len(text) > MaxPieces*PieceSize {
		return nil, ErrTooLarge
	}
	var pieces []string
	for len(text) > PieceSize {
		pieces, text = append(pieces, text[:PieceSize]), text[PieceSize:]
	}
	pieces = append(pieces, text)
	pieces[0] = string(rune('0'+len(pieces))) + pieces[0][1:]
	return pieces, nil
}

// PieceName is the name of piece i of the cookie called name.
func PieceName(name string, i int) string {
	if i == 0 {
		return name
	}
	return name + "-" + string(rune('0'+i))
}

// Pieces are those of one text that a request has shown. The zero value has none.
type Pieces struct {
	piece [MaxPieces]string
	shown [MaxPieces]bool
}

// Take notes a cookie of the request if it is a piece of the cookie called name, and says whether it is. Of two with one name the first
// counts.
func (p *Pieces) Take(name, cookie, value string) bool {
	i := 0
	if rest, ok := strings.CutPrefix(cookie, name); !ok {
		return false
	} else if rest != "" {
		if len(rest) != 2 || rest[0] != '-' || rest[1] < '1' || rest[1] >= '0'+MaxPieces {
			return false
		}
		i = int(rest[1] - '0')
	}
	if !p.shown[i] {
		p.piece[i], p.shown[i] = value, true
	}
	return true
}

// Shown says whether piece i was there.
func (p *Pieces) Shown(i int) bool { return p.shown[i] }

// Any says whether any piece was there.
func (p *Pieces) Any() bool { return p.shown != [MaxPieces]bool{} }

// Text puts the pieces together. It reports false when one is missing.
func (p *Pieces) Text() (string, bool) {
	first := p.piece[0]
	if len(first) < 2 || first[0] < '1' || first[0] > '0'+MaxPieces || first[1] != '.' {
		return "", false
	}
	n := int(first[0] - '0')
	if n == 1 {
		return first[2:], len(first) <= PieceSize
	}
	var b strings.Builder
	for i := range n {
		if !p.shown[i] || len(p.piece[i]) > PieceSize {
			return "", false
		}
		b.WriteString(p.piece[i])
	}
	return b.String()[2:], true
}
