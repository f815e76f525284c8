// Package waf judges requests by the OWASP Core Rule Set, version 4, with the engine Coraza. It is the work behind the policy waf (step 4).
//
// Both are part of the program only when it is built with the tag waf: they add some megabytes and their kind of regular expressions to a
// gateway that most run without. Without the tag New fails and the rest is the same, so that a configuration is read alike by both programs.
//
// In reading order: waf.go (what is asked and answered), rules.go (rules of the operator's own), engine.go (the work, with the tag),
// without.go (no work, without it).
//
// It refuses to look at responses, to write anything to a disk or a log, to tell a value it has seen, and to take directives of SecLang that
// do more than judge requests.
package waf

import "errors"

// ErrNotBuilt says that this program has no engine.
var ErrNotBuilt = errors.New("this build has no WAF; build it with make build TAGS=waf")

// Settings are what an Engine depends on. Engines with equal settings judge alike.
type Settings struct {
	// Paranoia is 1 to 4: the more, the more rules, the more attacks found and the more harmless requests taken for one.
	Paranoia int
	// Threshold is the score from which a request is taken for an attack.
	Threshold int
	// Early says that a head which is an attack already is all that is looked at.
	Early bool
	// MaxBody is how many bytes of content are looked at, at most.
	MaxBody int
	// Exclude are ids of rules that are left out.
	Exclude []int
	// ContentTypes are media types that requests may have besides those the engine can look into.
	ContentTypes []string
	// Rules is a text of rules of one's own, and RulesName where it stands, for errors.
	Rules, RulesName string
}

// Head is what is judged of a request besides its fields and its content. Texts are views that have to live until the inspection is closed.
type Head struct {
	Method string
	Target string // as the client sent it
	Proto  string // "HTTP/1.1"
	Client string // an IP address, empty when unknown
	Server string
}

// Verdict is what came out.
type Verdict struct {
	// Attack says that the score reaches the threshold, or that a rule of the operator's own denies the request.
	Attack bool
	// Score is what the rules that were met add up to.
	Score int
	// Rules are the rules that were met, without repetition, at most MaxRules.
	Rules []Rule
}

// MaxRules is how many rules a verdict names.
const MaxRules = 32

// Rule is one rule.
type Rule struct {
	ID int
	// Message is what the rule set says of the rule. It is the same for all requests and holds nothing of them.
	Message string
	// Category is one of Categories.
	Category string
}

// Categories are what rules are about, as the rule set tags them without the word attack before it; the last is for all others.
var Categories = []string{
	"sqli", "xss", "rce", "lfi", "rfi", "injection-php", "injection-java", "injection-generic", "ssrf", "ssti", "protocol", "reputation-scanner",
	"fixation", "multipart-header", "generic", "other",
}
