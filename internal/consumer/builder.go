package consumer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// Terms are what every kind of credential has.
type Terms struct {
	ID      string   // for people and logs; made from the credential when it is empty
	Expires int64    // seconds since 1970 at which it is good no more, see ParseExpires; 0 for ever
	Scopes  []string // what callers with it may do
}

// KeySpec is an API key.
type KeySpec struct {
	Hash [32]byte // see ParseHash
	Terms
}

// BasicSpec is a user name with a password.
type BasicSpec struct {
	Username string // 1 to 255 bytes of UTF-8 without a colon and control characters
	Password Password
	Terms
}

// SecretSpec is a secret that requests are signed with.
type SecretSpec struct {
	KeyID  string
	Secret []byte // at least MinSecret bytes; kept, not copied
	Terms
}

// CertificateSpec is a client's certificate, told by exactly one mark.
type CertificateSpec struct {
	Fingerprint string // SHA-256 of the certificate in hexadecimal, with or without colons
	Subject     string // the whole subject as RFC 2253 writes it, such as CN=acme,O=Acme Corp
	DNS         string // one of its subject alternative names
	URI         string
	Email       string
	Terms
}

// MinSecret is how long the secret of a SecretSpec has to be, in bytes.
const MinSecret = 32

// Builder makes a Directory. Errors say what is wrong and never repeat a secret; what was added before stays.
type Builder struct {
	d        *Directory
	groups   sets
	tags     sets
	scopes   sets
	warnings []string
}

// NewBuilder begins a directory.
func NewBuilder() *Builder {
	return &Builder{
		d: &Directory{
			seed: maphash.MakeSeed(), plans: map[string]*Plan{}, byUsername: map[string]uint32{}, byKeyID: map[string]uint32{},
			byMark: map[string]uint32{},
		},
		groups: newSets(",", func(word string) error { return checkWord("group", word) }),
		tags:   newSets(",", checkTag),
		scopes: newSets(" ", func(word string) error { return checkWord("scope", word) }),
	}
}

// Plan adds a plan, which credential files may name.
func (b *Builder) Plan(p *Plan) error {
	if b.d.plans[p.Name] != nil {
		return fmt.Errorf("the plan %s is there twice", p.Name)
	}
	b.d.plans[p.Name] = p
	return nil
}

// Consumer adds a consumer. Its groups and tags may be in any order; GroupList is not looked at, and without a Name it gets its ID.
func (b *Builder) Consumer(c Consumer) error {
	groups, err := b.groups.add(c.Groups)
	if err != nil {
		return err
	}
	tags, err := b.tags.add(c.Tags)
	if err != nil {
		return err
	}
	_, err = b.consumer(c.ID, c.Name, c.Plan, groups, tags)
	return err
}

func (b *Builder) consumer(id, name string, plan *Plan, groups, tags uint32) (uint32, error) {
	if err := checkID(id); err != nil {
		return 0, err
	}
	if err := checkName(name); err != nil {
		return 0, err
	}
	d := b.d
	hash := maphash.String(d.seed, id)
	if _, ok := d.number(id, hash); ok {
		return 0, fmt.Errorf("the consumer %s is there twice", id)
	}
	if d.consumers.n == maxItems {
		return 0, errFull
	}
	place, err := d.texts.add(id)
	if err != nil {
		return 0, err
	}
	kept := Consumer{ID: d.texts.at(place, uint32(len(id))), Plan: plan, Groups: b.groups.list[groups].words, GroupList: b.groups.list[groups].joined, Tags: b.tags.list[tags].words}
	kept.Name = kept.ID
	if name != "" && name != id {
		kept.Name = strings.Clone(name)
	}
	i := d.consumers.add(kept)
	d.byID.add(hash, i, func(i uint32) uint64 { return maphash.String(d.seed, d.consumers.at(i).ID) })
	return i, nil
}

// Key adds an API key of a consumer.
func (b *Builder) Key(consumerID string, s KeySpec) error {
	e, err := b.entry(consumerID, s.Terms)
	if err != nil {
		return err
	}
	return b.key(e, s.ID, &s.Hash)
}

func (b *Builder) key(e entry, id string, hash *[32]byte) error {
	d := b.d
	if i, ok := d.key(hash); ok {
		return b.twice("API key", &d.keys.at(i).entry)
	}
	if d.keys.n == maxItems {
		return errFull
	}
	if id == "" {
		id = made("api_key", hash[:])
	}
	if err := b.label(&e, id); err != nil {
		return err
	}
	i := d.keys.add(keyEntry{*hash, e})
	d.byHash.add(hashOf(hash), i, func(i uint32) uint64 { return hashOf(&d.keys.at(i).hash) })
	return nil
}

// Basic adds a user name with a password.
func (b *Builder) Basic(consumerID string, s BasicSpec) error {
	e, err := b.entry(consumerID, s.Terms)
	if err != nil {
		return err
	}
	return b.basic(e, s.ID, s.Username, s.Password)
}

func (b *Builder) basic(e entry, id, username string, password Password) error {
	if username == "" || len(username) > maxUsername || !fits(username) || strings.Contains(username, ":") {
		return fmt.Errorf("found the user name %.280q; allowed: 1 to %d bytes of UTF-8 without colon and control characters, and without spaces at its ends", username, maxUsername)
	}
	if password.text == "" {
		return errors.New("the password hash is missing; straum key password makes one")
	}
	if i, ok := b.d.byUsername[username]; ok {
		return b.twice("user name "+username, &b.d.basics.at(i).entry)
	}
	if b.d.basics.n == maxItems {
		return errFull
	}
	username = strings.Clone(username)
	if id == "" {
		id = made("basic", []byte(username))
	}
	if err := b.label(&e, id); err != nil {
		return err
	}
	if weak := password.weakness(); weak != "" {
		b.warn("the password of " + username + " " + weak)
	}
	b.d.byUsername[username] = b.d.basics.add(basicEntry{username, Password{strings.Clone(password.text)}, e})
	return nil
}

// Secret adds a secret that requests are signed with.
func (b *Builder) Secret(consumerID string, s SecretSpec) error {
	e, err := b.entry(consumerID, s.Terms)
	if err != nil {
		return err
	}
	if s.KeyID == "" || len(s.KeyID) > maxID || !only(s.KeyID, "._:-") {
		return fmt.Errorf("found the key id %.140q; allowed: 1 to %d letters, digits and . _ : -", s.KeyID, maxID)
	}
	if len(s.Secret) < MinSecret {
		return fmt.Errorf("the secret has %d bytes; it must have at least %d", len(s.Secret), MinSecret)
	}
	if i, ok := b.d.byKeyID[s.KeyID]; ok {
		return b.twice("key id "+s.KeyID, &b.d.secrets.at(i).entry)
	}
	id := s.ID
	if id == "" {
		id = made("hmac", []byte(s.KeyID))
	}
	if err := b.label(&e, id); err != nil {
		return err
	}
	keyID := strings.Clone(s.KeyID)
	b.d.byKeyID[keyID] = b.d.secrets.add(secretEntry{keyID, s.Secret, e})
	return nil
}

// Certificate adds a certificate's mark.
func (b *Builder) Certificate(consumerID string, s CertificateSpec) error {
	e, err := b.entry(consumerID, s.Terms)
	if err != nil {
		return err
	}
	mark, err := s.mark()
	if err != nil {
		return err
	}
	return b.certificate(e, s.ID, mark)
}

func (b *Builder) certificate(e entry, id, mark string) error {
	if i, ok := b.d.byMark[mark]; ok {
		return b.twice("certificate's "+mark, b.d.certificates.at(i))
	}
	if b.d.certificates.n == maxItems {
		return errFull
	}
	if id == "" {
		id = made("mtls", []byte(mark))
	}
	if err := b.label(&e, id); err != nil {
		return err
	}
	b.d.marks |= markOf(mark)
	b.d.byMark[strings.Clone(mark)] = b.d.certificates.add(e)
	return nil
}

// entry is what all kinds have in common, without an id yet.
func (b *Builder) entry(consumerID string, t Terms) (entry, error) {
	i, ok := b.d.number(consumerID, maphash.String(b.d.seed, consumerID))
	if !ok {
		return entry{}, fmt.Errorf("there is no consumer %.140q", consumerID)
	}
	if err := errors.Join(checkLabel(t.ID), checkExpires(t.Expires)); err != nil {
		return entry{}, err
	}
	scopes, err := b.scopes.add(t.Scopes)
	return entry{consumer: i, expires: uint32(t.Expires), packed: scopes}, err
}

// label gives an entry its id.
func (b *Builder) label(e *entry, id string) (err error) {
	e.id, err = b.d.texts.add(id)
	e.packed |= uint32(len(id)) << 24
	return err
}

// made is the id of a credential that was given none: the same in every revision, and no use to who wants to guess the credential.
func made(kind string, of []byte) string {
	sum := sha256.Sum256(append([]byte("straum credential id\x00"+kind+"\x00"), of...))
	return hex.EncodeToString(sum[:5])
}

func (b *Builder) twice(what string, first *entry) error {
	return fmt.Errorf("the %s is there twice; it is the credential %s of the consumer %s already", what, b.d.label(first), b.d.consumers.at(first.consumer).ID)
}

// maxWarnings is how many are kept.
const maxWarnings = 20

func (b *Builder) warn(text string) {
	if len(b.warnings) < maxWarnings {
		b.warnings = append(b.warnings, text)
	}
}

// Build ends the directory; the Builder is of no further use.
func (b *Builder) Build() *Directory {
	d := b.d
	d.sets, d.warnings = slices.Clip(b.scopes.list), b.warnings
	b.d = nil
	return d
}
