// Package webhooksignature is the policy webhook_signature (step 4): requests that a service sends by itself, signed over their content with a
// shared secret, in the ways of GitHub, Stripe, Standard Webhooks and those like them.
//
// In reading order: webhook.go (the policy), scheme.go (what the fields say), template.go (what is signed in schemes of one's own).
//
// It refuses SHA-1, and signatures over anything but the content as it came.
package webhooksignature

import (
	"crypto/hmac"
	"encoding/base64"
	"strings"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Scheme    string            `yaml:"scheme" required:"true" enum:"github,stripe,standard_webhooks,generic" doc:"whose way of signing it is"`
	Secrets   []document.Secret `yaml:"secrets,one" required:"true" length:"1..8" doc:"the shared secret; several while one takes the place of another"`
	Generic   *Generic          `yaml:"generic" doc:"the way of signing, for scheme generic"`
	Consumer  string            `yaml:"consumer" length:"1..128" doc:"id of the consumer that whoever signs is taken for"`
	Tolerance document.Duration `yaml:"tolerance" default:"5m" range:"1s..24h" doc:"how old a signature may be, and how far ahead of our clock, where the scheme has a timestamp"`
	Once      bool              `yaml:"once" default:"true" doc:"take each signature once only, where the scheme has a timestamp"`
	Remember  int               `yaml:"remember" default:"131072" range:"1024..16777216" doc:"how many used signatures are remembered"`
	MaxBody   document.Size     `yaml:"max_body" default:"1MiB" range:"1..32MiB" doc:"the largest content that can be checked"`
	Realm     string            `yaml:"realm" default:"webhooks" pattern:"^[ !#-Z^-~\\]\\[]{1,128}$" form:"1 to 128 printable ASCII characters but quotation marks and backslashes" doc:"realm in WWW-Authenticate"`
}

// Generic is a way of signing that has no name of its own.
type Generic struct {
	Header    string `yaml:"header" required:"true" pattern:"^[A-Za-z0-9-]{1,64}$" form:"1 to 64 letters, digits and hyphens" doc:"the field with the signature"`
	Prefix    string `yaml:"prefix" length:"1..32" doc:"what stands before the signature in the field"`
	Algorithm string `yaml:"algorithm" default:"sha256" enum:"sha256,sha512" doc:"the hash of the HMAC"`
	Encoding  string `yaml:"encoding" default:"hex" enum:"hex,base64" doc:"how the signature is written"`
	Timestamp string `yaml:"timestamp" pattern:"^[A-Za-z0-9-]{1,64}$" form:"1 to 64 letters, digits and hyphens" doc:"the field with the time it was made, in seconds since 1970"`
	Signed    string `yaml:"signed" length:"1..256" doc:"the text that is signed"`
}

// Kind is the policy for the chain.
var Kind = kind(time.Now)

// kind is the policy on a clock.
func kind(now func() time.Time) policy.Kind {
	return policy.Kind{Name: name, Options: Options{}, Authenticates: true, Build: func(o policy.Options) (any, error) { return build(o, now) }}
}

const (
	name = "webhook_signature"
	// minSecret is how long a secret has to be, in bytes.
	minSecret = 16
	// patience is for how long content may be under way of one who is not known yet.
	patience = 30 * time.Second
)

// built is the policy before it is bound.
type built struct {
	settings
	options policy.Options
}

// settings are what both the built and the running policy have.
type settings struct {
	Options
	scheme    scheme
	keys      [][]byte
	tolerance int64 // seconds
	challenge string
	now       func() time.Time
}

func build(o policy.Options, now func() time.Time) (any, error) {
	b := &built{settings{now: now}, o}
	if err := o.Decode(&b.Options); err != nil {
		return nil, err
	}
	switch {
	case b.Scheme == "generic" && b.Generic == nil:
		return nil, o.Errorf("scheme", "generic needs to be told how requests are signed: generic: { header: X-Signature }")
	case b.Scheme != "generic" && b.Generic != nil:
		return nil, o.Errorf("generic", "is for scheme generic alone; %s has a way of its own", b.Scheme)
	}
	switch b.Scheme {
	case "github":
		b.scheme = github()
	case "stripe":
		b.scheme = stripe()
	case "standard_webhooks":
		b.scheme = standard()
	default:
		var err error
		if b.scheme, err = generic(b.Generic); err != nil {
			return nil, o.Errorf("generic", "%v", err)
		}
	}
	for i, s := range b.Secrets {
		key := []byte(s.Reveal())
		if b.Scheme == "standard_webhooks" {
			var err error
			if key, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Reveal(), "whsec_")); err != nil {
				return nil, o.Errorf("secrets", "secret %d is no base64 after whsec_, which those of Standard Webhooks are; copy it as a whole", i+1)
			}
		}
		if len(key) < minSecret {
			return nil, o.Errorf("secrets", "secret %d has %d bytes; it needs %d at least, or it could be guessed", i+1, len(key), minSecret)
		}
		b.keys = append(b.keys, key)
	}
	b.tolerance = int64(b.Tolerance.Std() / time.Second)
	b.challenge = `WebhookSignature realm="` + b.Realm + `"`
	return b, nil
}

// Bind implements policy.Binder.
func (b *built) Bind(w *policy.World) (any, error) {
	r := &running{settings: &b.settings}
	if b.Consumer != "" {
		if r.consumer = w.Consumers.Consumer(b.Consumer); r.consumer == nil {
			return nil, b.options.Errorf("consumer", "there is no consumer %q; add it under consumers, or name one that is there", b.Consumer)
		}
	}
	if b.Once && b.scheme.timed {
		r.once = policy.NewOnce(w, name, policy.OnceTerms{Remember: b.Remember, Behind: b.Tolerance.Std(), Ahead: b.Tolerance.Std(), Now: b.now,
			Remedy: "raise its option remember, or shorten tolerance"})
		if r.owner = "callers that are no consumers"; r.consumer != nil {
			r.owner = r.consumer.ID
		}
	}
	return r, nil
}

// running is the policy in force.
type running struct {
	*settings
	consumer *consumer.Consumer
	once     *policy.Once // nil when signatures may be used again
	owner    string       // for whom once counts
}

// Authenticate implements policy.Authenticator.
func (r *running) Authenticate(x *exchange.Exchange) policy.Finding {
	text, n := field(&x.Request.Header, r.scheme.header)
	switch {
	case n == 0:
		return policy.Nothing
	case n > 1:
		x.Fail(fault.New(fault.BadCredential, nil))
		return policy.Refused
	}
	s := desks.Get().(*shown)
	defer s.leave()
	now := r.now()
	if !r.scheme.read(s, text, &x.Request.Header) {
		return refuse(x, "malformed")
	}
	if r.scheme.timed {
		switch {
		case s.at < now.Unix()-r.tolerance || r.once != nil && !r.once.Knows(s.at):
			return refuse(x, "stale")
		case s.at > now.Unix()+r.tolerance:
			return refuse(x, "early")
		}
	}
	body, f := x.HoldBody(exchange.Hold{Max: int64(r.MaxBody), Within: patience})
	if f != nil {
		x.Fail(f)
		return policy.Refused
	}
	if !r.good(s, body) {
		return refuse(x, "bad_signature")
	}
	x.ProveHeld()
	if r.once != nil && !r.once.Use(x, s.name(body), r.owner, now) {
		return refuse(x, "replayed")
	}
	x.Vouched = text
	x.Caller.Consumer, x.Caller.Credential = r.consumer, r.Scheme
	return policy.Accepted
}

func refuse(x *exchange.Exchange, word string) policy.Finding {
	x.Judge(name, word)
	return policy.Refused
}

// good says whether one of the signatures shown was made over this body with one of the secrets. Every one is compared with every other, so
// that time does not tell which.
func (r *running) good(s *shown, body []byte) bool {
	good := false
	for _, key := range r.keys {
		h := hmac.New(r.scheme.hash, key)
		for _, part := range r.scheme.signed {
			switch part.is {
			case literal:
				h.Write(part.text)
			case identifier:
				h.Write(s.append(s.id))
			case timestamp:
				h.Write(s.append(s.time))
			case content:
				h.Write(body)
			}
		}
		var sum mac
		size := len(h.Sum(sum[:0]))
		for i := range s.n {
			if s.sizes[i] == size && hmac.Equal(s.macs[i][:size], sum[:size]) {
				good = true
			}
		}
	}
	return good
}

// Challenge implements policy.Authenticator. No scheme is registered for signatures of this kind; this one says what is asked for.
func (r *running) Challenge(x *exchange.Exchange, _ policy.Finding) {
	x.Challenges = append(x.Challenges, r.challenge)
}

// Hide implements policy.Authenticator. A good signature over the content gives nobody anything to use elsewhere, and endpoints may want to look
// at it themselves. One that nobody looked at, or that is not good, must not be taken for checked.
func (r *running) Hide(x *exchange.Exchange, finding policy.Finding) {
	if finding == policy.Accepted {
		return
	}
	h := &x.Request.Header
	kept, n := "", 0
	all := h.All()
	for i := range all {
		if is(&all[i], r.scheme.header) && policy.Vouched(x, all[i].Value) { // another method's, in the same field
			kept, n = all[i].Value, n+1
		}
	}
	h.DelHeader(r.scheme.header)
	for range n {
		h.Add(r.scheme.header, kept)
	}
}
