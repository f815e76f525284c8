package session

import "encoding/binary"

// Session is a browser that somebody has logged in with. Times are seconds since 1970.
type Session struct {
	// ID names the session. It is random and no secret: nothing can be had for it.
	ID      string
	Created int64
	Seen    int64 // when it was last sealed because it was in use
	// TokenExpires is when the tokens in it stop being good, 0 for never.
	TokenExpires int64
	RenewAt      int64  // when it is time to use Refresh
	Scope        string // what was granted, in words separated by spaces
	// Claims is what the issuer says of who logged in: the content of the ID token, a JSON object.
	Claims string
	// IDToken is the head and the signature of the ID token, each as in the token, with a point between them: its content is Claims. Empty
	// when it is not kept.
	IDToken string
	Access  string // token, empty when it is not kept
	Refresh string // token, empty without one
}

// Append adds the session to b.
func (s *Session) Append(b []byte) []byte {
	b = append(b, formSession)
	for _, n := range [...]int64{s.Created, s.Seen, s.TokenExpires, s.RenewAt} {
		b = binary.AppendVarint(b, n)
	}
	return appendTexts(b, s.ID, s.Scope, s.Claims, s.IDToken, s.Access, s.Refresh)
}

// ReadSession reads what Append has written.
func ReadSession(b []byte) (*Session, bool) {
	r := reader{rest: b}
	if r.byte() != formSession {
		return nil, false
	}
	s := &Session{Created: r.number(), Seen: r.number(), TokenExpires: r.number(), RenewAt: r.number(), ID: r.text(), Scope: r.text(), Claims: r.text(),
		IDToken: r.text(), Access: r.text(), Refresh: r.text()}
	return s, r.done()
}

// Attempt is a browser on its way to the provider and back.
type Attempt struct {
	Created  int64  // seconds since 1970
	State    string // what the provider sends back with the browser
	Nonce    string // what the ID token must hold
	Verifier string // what only we know of the code challenge (RFC 7636)
	Return   string // where the browser wanted to go: path and query
}

// Append adds the attempt to b.
func (a *Attempt) Append(b []byte) []byte {
	b = append(b, formAttempt)
	b = binary.AppendVarint(b, a.Created)
	return appendTexts(b, a.State, a.Nonce, a.Verifier, a.Return)
}

// ReadAttempt reads what Append has written.
func ReadAttempt(b []byte) (*Attempt, bool) {
	r := reader{rest: b}
	if r.byte() != formAttempt {
		return nil, false
	}
	a := &Attempt{Created: r.number(), State: r.text(), Nonce: r.text(), Verifier: r.text(), Return: r.text()}
	return a, r.done()
}

// The forms of records. A form that changes gets another number: what older programs have sealed is as if it were not there.
const (
	formSession = 1
	formAttempt = 2
)

func appendTexts(b []byte, texts ...string) []byte {
	for _, t := range texts {
		b = binary.AppendUvarint(b, uint64(len(t)))
		b = append(b, t...)
	}
	return b
}

// reader reads a record. After the first mistake it gives zero values.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.bad = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) number() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) text() string {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > uint64(len(r.rest)-size) {
		r.bad, r.rest = true, nil
		return ""
	}
	t := string(r.rest[size : size+int(n)])
	r.rest = r.rest[size+int(n):]
	return t
}

// done says whether all was read, and nothing is left.
func (r *reader) done() bool { return !r.bad && len(r.rest) == 0 }
