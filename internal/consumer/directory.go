package consumer

import (
	"crypto/subtle"
	"encoding/binary"
	"hash/maphash"
	"iter"
	"sync/atomic"
)

// Directory is all consumers and credentials of one revision. It is immutable but for when credentials were last used. Looking something up
// allocates nothing and takes the same time however many there are.
type Directory struct {
	seed      maphash.Seed
	texts     texts // ids
	sets      []set // scopes
	plans     map[string]*Plan
	consumers slab[Consumer]
	byID      index

	keys   slab[keyEntry]
	byHash index

	basics       slab[basicEntry]
	byUsername   map[string]uint32
	secrets      slab[secretEntry]
	byKeyID      map[string]uint32
	certificates slab[entry]
	byMark       map[string]uint32
	marks        uint8 // the kinds of marks there are

	warnings []string
}

// entry is what every credential has, in numbers to be small.
type entry struct {
	consumer uint32 // number of the consumer
	expires  uint32 // seconds since 1970, 0 never
	packed   uint32 // the number of the set of scopes in the low 24 bits, the length of the id above, so that it costs no visit to the text
	id       uint32 // place of the text
	used     uint32 // seconds since 1970, 0 never; atomic
}

type keyEntry struct {
	hash [32]byte
	entry
}

type basicEntry struct {
	username string
	password Password
	entry
}

type secretEntry struct {
	keyID  string
	secret []byte
	entry
}

// Credential is what a consumer may show. It is valid as long as its Directory is kept.
type Credential struct {
	ID        string // for people and logs; no part of the secret
	Name      string // the user name or the key id; empty for other kinds
	Consumer  *Consumer
	Expires   int64    // seconds since 1970 at which it is good no more; 0 for ever
	Scopes    []string // sorted
	ScopeList string   // Scopes joined by spaces
	used      *uint32
}

// Expired says whether it is good no more; now is in seconds since 1970.
func (c *Credential) Expired(now int64) bool { return c.Expires != 0 && now >= c.Expires }

// Use notes that it was accepted; now is in seconds since 1970. It writes once a second at most, so that processors do not take turns at it.
func (c *Credential) Use(now int64) {
	if c.used != nil && atomic.LoadUint32(c.used) < uint32(now) {
		atomic.StoreUint32(c.used, uint32(now))
	}
}

// Empty is a directory without consumers.
func Empty() *Directory { return NewBuilder().Build() }

// Len says how many consumers and credentials there are.
func (d *Directory) Len() (consumers, credentials int) {
	return int(d.consumers.n), int(d.keys.n) + int(d.basics.n) + int(d.secrets.n) + int(d.certificates.n)
}

// Count says how many credentials of a kind there are.
func (d *Directory) Count(kind Kind) int {
	switch kind {
	case APIKey:
		return int(d.keys.n)
	case Basic:
		return int(d.basics.n)
	case HMAC:
		return int(d.secrets.n)
	case MTLS:
		return int(d.certificates.n)
	}
	return 0
}

// Expired says how many credentials are good no more; now is in seconds since 1970. It looks at all of them.
func (d *Directory) Expired(now int64) (n int) {
	count := func(e *entry) {
		if e.expires != 0 && now >= int64(e.expires) {
			n++
		}
	}
	for i := range d.keys.n {
		count(&d.keys.at(i).entry)
	}
	for i := range d.basics.n {
		count(&d.basics.at(i).entry)
	}
	for i := range d.secrets.n {
		count(&d.secrets.at(i).entry)
	}
	for i := range d.certificates.n {
		count(d.certificates.at(i))
	}
	return n
}

// Warnings are what the operator should mend though it works, a sentence each, 20 at most.
func (d *Directory) Warnings() []string { return d.warnings }

// Plan finds a plan by name, nil for none.
func (d *Directory) Plan(name string) *Plan { return d.plans[name] }

// Consumer finds a consumer by id, nil for none.
func (d *Directory) Consumer(id string) *Consumer {
	if i, ok := d.number(id, maphash.String(d.seed, id)); ok {
		return d.consumers.at(i)
	}
	return nil
}

func (d *Directory) number(id string, hash uint64) (uint32, bool) {
	return d.byID.find(hash, func(i uint32) bool { return d.consumers.at(i).ID == id })
}

// Consumers goes through all consumers.
func (d *Directory) Consumers() iter.Seq[*Consumer] {
	return func(yield func(*Consumer) bool) {
		for i := range d.consumers.n {
			if !yield(d.consumers.at(i)) {
				return
			}
		}
	}
}

// Key finds an API key by its hash, see Hash. It does not look at the expiry.
func (d *Directory) Key(hash [32]byte) (Credential, bool) {
	i, ok := d.key(&hash)
	if !ok {
		return Credential{}, false
	}
	return d.credential(&d.keys.at(i).entry), true
}

func (d *Directory) key(hash *[32]byte) (uint32, bool) {
	return d.byHash.find(hashOf(hash), func(i uint32) bool { return subtle.ConstantTimeCompare(d.keys.at(i).hash[:], hash[:]) == 1 })
}

// hashOf is the index's hash of a hash: it is random enough as it is.
func hashOf(hash *[32]byte) uint64 { return binary.LittleEndian.Uint64(hash[:8]) }

// Basic finds a user name and the password it goes with. It does not look at the expiry. When it reports false, the password is somebody
// else's, always the same for the same user name: verify it all the same and throw the result away, so that answering takes as long as for a
// user name that is there. It is the zero Password when there are no user names at all.
func (d *Directory) Basic(username string) (Credential, Password, bool) {
	if i, ok := d.byUsername[username]; ok {
		e := d.basics.at(i)
		return d.named(e.username, &e.entry), e.password, true
	}
	if d.basics.n == 0 {
		return Credential{}, Password{}, false
	}
	return Credential{}, d.basics.at(uint32(maphash.String(d.seed, username) % uint64(d.basics.n))).password, false
}

// Secret finds the secret of a key id. It does not look at the expiry. The secret must not be changed.
func (d *Directory) Secret(keyID string) ([]byte, Credential, bool) {
	i, ok := d.byKeyID[keyID]
	if !ok {
		return nil, Credential{}, false
	}
	e := d.secrets.at(i)
	return e.secret, d.named(e.keyID, &e.entry), true
}

func (d *Directory) named(name string, e *entry) Credential {
	c := d.credential(e)
	c.Name = name
	return c
}

func (d *Directory) credential(e *entry) Credential {
	s := &d.sets[e.packed&0xffffff]
	return Credential{ID: d.label(e), Consumer: d.consumers.at(e.consumer), Expires: int64(e.expires), Scopes: s.words, ScopeList: s.joined, used: &e.used}
}

func (d *Directory) label(e *entry) string { return d.texts.at(e.id, e.packed>>24) }

// Kind is a kind of credential, in the words of the configuration.
type Kind string

// The kinds.
const (
	APIKey Kind = "api_key"
	Basic  Kind = "basic"
	HMAC   Kind = "hmac"
	MTLS   Kind = "mtls"
)

// Credentials goes through all credentials with when each was last used, in seconds since 1970 and 0 for never since the process began.
func (d *Directory) Credentials() iter.Seq2[Listed, Credential] {
	return func(yield func(Listed, Credential) bool) {
		one := func(kind Kind, e *entry) bool {
			return yield(Listed{kind, int64(atomic.LoadUint32(&e.used))}, d.credential(e))
		}
		for i := range d.keys.n {
			if !one(APIKey, &d.keys.at(i).entry) {
				return
			}
		}
		for i := range d.basics.n {
			if !one(Basic, &d.basics.at(i).entry) {
				return
			}
		}
		for i := range d.secrets.n {
			if !one(HMAC, &d.secrets.at(i).entry) {
				return
			}
		}
		for i := range d.certificates.n {
			if !one(MTLS, d.certificates.at(i)) {
				return
			}
		}
	}
}

// Listed is what a list of credentials says besides.
type Listed struct {
	Kind     Kind
	LastUsed int64
}

// Inherit takes over from the directory of the revision before when credentials were last used. Both may be in use. What is used in the old
// one after it was looked at is lost, which is less than a second's worth when the new one is put in force at once.
func (d *Directory) Inherit(old *Directory) {
	if old == nil {
		return
	}
	for i := range old.keys.n {
		if e := old.keys.at(i); atomic.LoadUint32(&e.used) != 0 {
			if mine, ok := d.key(&e.hash); ok {
				d.keys.at(mine).inherit(&e.entry)
			}
		}
	}
	for i := range old.basics.n {
		e := old.basics.at(i)
		if mine, ok := d.byUsername[e.username]; ok {
			d.basics.at(mine).inherit(&e.entry)
		}
	}
	for i := range old.secrets.n {
		e := old.secrets.at(i)
		if mine, ok := d.byKeyID[e.keyID]; ok {
			d.secrets.at(mine).inherit(&e.entry)
		}
	}
	for mark, i := range old.byMark {
		if mine, ok := d.byMark[mark]; ok {
			d.certificates.at(mine).inherit(old.certificates.at(i))
		}
	}
}

func (e *entry) inherit(old *entry) {
	then := atomic.LoadUint32(&old.used)
	for {
		now := atomic.LoadUint32(&e.used)
		if now >= then || atomic.CompareAndSwapUint32(&e.used, now, then) {
			return
		}
	}
}
