// Package hmac is the policy hmac (step 4): requests signed with a secret that the consumer shares with the gateway, as HTTP Message
// Signatures have it (RFC 9421) with the algorithm hmac-sha256, and Content-Digest (RFC 9530) for content. A signature is good for a
// while and once.
//
// In reading order: hmac.go (the policy), signature.go (what the fields say), base.go (what is signed), digest.go (content).
//
// It refuses other algorithms, components with parameters, signatures that do not say when they were made, and to read content before it
// knows who sent it.
package hmac

import (
	mac "crypto/hmac"
	"crypto/sha256"
	"hash"
	"slices"
	"strings"
	"sync"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Label      string            `yaml:"label" pattern:"^[a-z*][a-z0-9_.*-]{0,63}$" form:"1 to 64 of a-z, 0-9, _ - . *, not beginning with a digit" doc:"which signature counts where a request has several; without it there may be one only"`
	Tag        string            `yaml:"tag" pattern:"^[A-Za-z0-9._:/-]{1,64}$" form:"1 to 64 letters, digits and . _ : / -" doc:"what the parameter tag of the signature has to be"`
	Components []string          `yaml:"components" length:"1..32" doc:"what a signature has to cover; more is fine"`
	Digest     bool              `yaml:"digest" default:"true" doc:"ask that the signature of a request with content covers content-digest"`
	MaxBody    document.Size     `yaml:"max_body" default:"1MiB" range:"0..32MiB" doc:"the largest content that can be checked"`
	Window     document.Duration `yaml:"window" default:"5m" range:"1s..24h" doc:"how old a signature may be"`
	Skew       document.Duration `yaml:"skew" default:"30s" range:"0s..1h" doc:"how far the consumer's clock may be ahead of ours"`
	Once       bool              `yaml:"once" default:"true" doc:"take each signature once only"`
	Remember   int               `yaml:"remember" default:"1048576" range:"1024..16777216" doc:"how many used signatures are remembered"`
	Forward    bool              `yaml:"forward" default:"false" doc:"leave the signature on the request to the endpoint"`
	Realm      string            `yaml:"realm" default:"api" pattern:"^[ !#-Z^-~\\]\\[]{1,128}$" form:"1 to 128 printable ASCII characters but quotation marks and backslashes" doc:"realm in WWW-Authenticate"`
}

// Kind is the policy for the chain.
var Kind = kind(time.Now)

// kind is the policy on a clock.
func kind(now func() time.Time) policy.Kind {
	return policy.Kind{Name: name, Options: Options{}, Authenticates: true, Build: func(o policy.Options) (any, error) { return build(o, now) }}
}

const (
	name      = "hmac"
	algorithm = "hmac-sha256"
	digest    = "content-digest"
)

// usual are the components a signature has to cover unless the configuration says otherwise: all that decides what is asked of whom.
var usual = []string{"@method", "@authority", "@path", "@query"}

// built is the policy before it is bound.
type built struct{ settings }

// settings are what both the built and the running policy have.
type settings struct {
	Options
	window, skew int64 // seconds
	challenge    string
	now          func() time.Time
	hash         func() hash.Hash
}

func build(o policy.Options, now func() time.Time) (any, error) {
	b := &built{settings{now: now, hash: sha256.New}}
	if err := o.Decode(&b.Options); err != nil {
		return nil, err
	}
	if b.Components == nil {
		b.Components = usual
	}
	for _, c := range b.Components {
		if !componentName(c) {
			return nil, o.Errorf("components", "found %q; allowed: names of fields in lower case, and %s", c, strings.Join(derived, ", "))
		}
		if c[0] == '@' && !slices.Contains(derived, c) {
			return nil, o.Errorf("components", "found %q; allowed of derived components: %s", c, strings.Join(derived, ", "))
		}
	}
	b.window, b.skew = int64(b.Window.Std()/time.Second), int64(b.Skew.Std()/time.Second)
	b.challenge = `Signature realm="` + b.Realm + `", algorithm="` + algorithm + `"`
	return b, nil
}

// Bind implements policy.Binder.
func (b *built) Bind(w *policy.World) (any, error) {
	r := &running{settings: &b.settings, consumers: w.Consumers}
	if b.Once {
		r.once = policy.NewOnce(w, name, policy.OnceTerms{Remember: b.Remember, Behind: b.Window.Std(), Ahead: b.Skew.Std(), Now: b.now,
			Remedy: "raise its option remember, or shorten window"})
	}
	return r, nil
}

// running is the policy in force.
type running struct {
	*settings
	consumers *consumer.Directory
	once      *policy.Once // nil when signatures may be used again
}

// work is what one request is judged in.
type work struct {
	signature signature
	base      []byte
}

var works = sync.Pool{New: func() any { return new(work) }}

// Authenticate implements policy.Authenticator.
func (r *running) Authenticate(x *exchange.Exchange) policy.Finding {
	inputs, stated := value(&x.Request.Header, "Signature-Input")
	signatures, signed := value(&x.Request.Header, "Signature")
	if !stated && !signed {
		return policy.Nothing
	}
	w := works.Get().(*work)
	defer works.Put(w)
	s := &w.signature
	word := s.read(inputs, signatures, r.Label)
	defer s.forget() // the views in it
	switch word {
	case "":
	case unlabeled:
		return policy.Nothing // whatever it is, it is not for us
	case several:
		x.Fail(fault.New(fault.BadCredential, nil))
		return policy.Refused
	default:
		return refuse(x, word)
	}
	now := r.now()
	if word = r.judge(s, &x.Request, now.Unix()); word != "" {
		return refuse(x, word)
	}
	credential, word := r.verify(w, &x.Request, now.Unix())
	if word != "" {
		return refuse(x, word)
	}
	// Whoever gets here has the secret, and has not sent this before: nobody else makes the gateway hold content.
	if r.once != nil && !r.once.Use(x, s.mac, credential.Consumer.ID, now) {
		return refuse(x, "replayed")
	}
	if s.covers(digest) {
		body, f := x.HoldBody(exchange.Hold{Max: int64(r.MaxBody), Proven: true})
		if f != nil {
			x.Fail(f)
			return policy.Refused
		}
		if said, _ := value(&x.Request.Header, digest); !agrees(said, body) {
			return refuse(x, "bad_digest")
		}
	}
	credential.Use(now.Unix())
	x.Caller.Consumer, x.Caller.Credential = credential.Consumer, credential.ID
	x.Caller.Scopes, x.Caller.ScopeList = credential.Scopes, credential.ScopeList
	if r.Forward {
		x.Vouched = signatures
	}
	return policy.Accepted
}

// forget lets go of what belongs to a request.
func (s *signature) forget() { *s = signature{params: s.params[:0]} }

func refuse(x *exchange.Exchange, word string) policy.Finding {
	x.Judge(name, word)
	return policy.Refused
}

// judge says in a word what is wrong with what a signature says of itself, before anything is computed; empty when nothing is. now is in
// seconds since 1970.
func (r *running) judge(s *signature, q *exchange.Request, now int64) string {
	switch {
	case !s.plain:
		return "unsupported_component"
	case s.alg != "" && s.alg != algorithm:
		return "wrong_algorithm"
	case r.Tag != "" && s.tag != r.Tag:
		return "wrong_tag"
	case s.created == absent:
		return "no_time"
	case s.keyID == "":
		return "no_key"
	case s.created > now+r.skew:
		return "early"
	case s.created < now-r.window || r.once != nil && !r.once.Knows(s.created):
		return "stale"
	case s.expires != absent && s.expires <= now:
		return "expired"
	case r.Digest && q.Body != nil && !s.covers(digest):
		return "content_not_covered"
	}
	for _, c := range r.Components {
		if !s.covers(c) {
			return "not_covered"
		}
	}
	return ""
}

// nobody is the secret of keys that there are not: checking those takes as long as checking others.
var nobody = make([]byte, consumer.MinSecret)

// verify computes what the signature has to be, and says whose it is or in a word what is wrong.
func (r *running) verify(w *work, q *exchange.Request, now int64) (consumer.Credential, string) {
	s := &w.signature
	base, ok := appendBase(w.base[:0], q, s)
	w.base = base
	if cap(w.base) > maxKept {
		w.base = nil
	}
	if !ok {
		return consumer.Credential{}, "missing_component"
	}
	secret, credential, known := r.consumers.Secret(s.keyID)
	if !known {
		secret = nobody
	}
	h := mac.New(r.hash, secret)
	h.Write(base)
	var sum [macSize]byte
	good := mac.Equal(h.Sum(sum[:0]), s.mac[:]) && s.whole
	switch {
	case !known:
		return consumer.Credential{}, "unknown_key"
	case !good:
		return consumer.Credential{}, "bad_signature"
	case credential.Expired(now):
		return consumer.Credential{}, "expired_key"
	}
	return credential, ""
}

// maxKept is how much scratch is kept for the next request, in bytes; few need as much.
const maxKept = 16 << 10

// value is the value of a field that may stand in several lines (RFC 9110 §5.2), and whether it is there.
func value(header *exchange.Fields, name string) (string, bool) {
	first, ok := header.Header(name)
	if !ok {
		return "", false
	}
	n := 0
	all := header.All()
	for i := range all {
		if all[i].Known == exchange.Other && strings.EqualFold(all[i].Name, name) {
			n++
		}
	}
	if n == 1 {
		return first, true
	}
	joined, _ := appendField(nil, header, name) // few write them like that
	return string(joined), true
}

// Challenge implements policy.Authenticator. No scheme is registered for signatures; this one says what is asked for.
func (r *running) Challenge(x *exchange.Exchange, _ policy.Finding) {
	x.Challenges = append(x.Challenges, r.challenge)
}

// Hide implements policy.Authenticator.
func (r *running) Hide(x *exchange.Exchange, finding policy.Finding) {
	if !r.Forward || finding != policy.Accepted {
		x.Request.Header.DelHeader("Signature-Input")
		x.Request.Header.DelHeader("Signature")
	}
}
