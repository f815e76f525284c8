package forwardauth

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/fetch"
)

// Options are those of the policy.
type Options struct {
	URL             string            `yaml:"url" required:"true" length:"1..2048" doc:"Where the service is asked: https://, or http:// on this box."`
	Plain           bool              `yaml:"plain" default:"false" doc:"Allow http:// to another box. Credentials then cross the network as they are."`
	CA              string            `yaml:"ca" length:"1..4096" doc:"A PEM file with the roots that the service's certificate is verified with, in place of the system's."`
	Method          string            `yaml:"method" default:"GET" enum:"GET,HEAD,POST,same" doc:"The method of the sub-request; same is the client's."`
	Timeout         document.Duration `yaml:"timeout" default:"2s" range:"10ms..1m" doc:"How long the service may take for its whole answer."`
	RequestHeaders  []string          `yaml:"request_headers" default:"Authorization,Cookie" length:"1..32" doc:"Fields of the request that the service gets."`
	ResponseHeaders []string          `yaml:"response_headers" length:"0..32" doc:"Fields of the service's consent that the endpoint gets. A client's own are removed in any case."`
	AnswerHeaders   []string          `yaml:"answer_headers" default:"WWW-Authenticate,Location,Set-Cookie,Content-Type,Cache-Control" length:"0..32" doc:"Fields of the service's refusal that the client gets."`
	ConsumerHeader  string            `yaml:"consumer_header" length:"1..64" doc:"A field of the service's consent with the id of a consumer; without a known one in it the caller is refused."`
	SubjectHeader   string            `yaml:"subject_header" length:"1..64" doc:"A field of the service's consent that says who the caller is, for endpoints and the log."`
	Concurrency     int               `yaml:"concurrency" default:"256" range:"1..65536" doc:"Sub-requests under way at a time; more requests are answered 503."`
	Cache           document.Duration `yaml:"cache" default:"0s" range:"0|1s..1h" doc:"How long a consent is remembered for sub-requests that are the same in every byte; 0 is not at all."`
	CacheSize       document.Size     `yaml:"cache_size" default:"8MiB" range:"64KiB..1GiB" doc:"Memory for consents that are remembered."`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: name, Options: Options{}, Build: build, Authenticates: true}

const name = "forward_auth"

// maxName is the longest name of a field, in bytes.
const maxName = 64

// settings are the options once they are checked.
type settings struct {
	options Options
	source  policy.Options
	url     *url.URL
	ca      string
}

func build(o policy.Options) (any, error) {
	s := &settings{source: o}
	if err := o.Decode(&s.options); err != nil {
		return nil, err
	}
	check := fetch.CheckURL
	if s.options.Plain {
		check = fetch.CheckPlainURL
	}
	var err error
	if s.url, err = check(s.options.URL); err != nil {
		if _, plain := fetch.CheckPlainURL(s.options.URL); plain == nil {
			return nil, o.Errorf("url", "%v, or set plain: true", err)
		}
		return nil, o.Errorf("url", "%v", err)
	}
	if s.options.CA != "" {
		if s.url.Scheme != "https" {
			return nil, o.Errorf("ca", "the service has no certificate to verify, since its URL is http://; leave ca out or use https://")
		}
		s.ca = o.Beside(s.options.CA)
	}
	for _, list := range []struct {
		key   string
		names []string
		bad   func(exchange.Known, string) bool
	}{
		{"request_headers", s.options.RequestHeaders, badToService},
		{"response_headers", s.options.ResponseHeaders, badToEndpoint},
		{"answer_headers", s.options.AnswerHeaders, badToClient},
		{"consumer_header", single(s.options.ConsumerHeader), badFromService},
		{"subject_header", single(s.options.SubjectHeader), badFromService},
	} {
		for i, n := range list.names {
			switch {
			case !isName(n):
				return nil, o.Errorf(list.key, "%q is not a field name: 1 to %d letters, digits and hyphens are allowed", n, maxName)
			case list.bad(exchange.Lookup(n), n):
				return nil, o.Errorf(list.key, "%s has a meaning of its own in HTTP or to this gateway and cannot be copied here; leave it out", n)
			case slices.ContainsFunc(list.names[:i], func(other string) bool { return strings.EqualFold(other, n) }):
				return nil, o.Errorf(list.key, "%s is here twice; remove one", n)
			}
		}
	}
	return s, nil
}

func single(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}

func isName(name string) bool {
	return name != "" && len(name) <= maxName &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

// frames says whether a field says how its message is framed or sent, which is settled anew for each.
func frames(known exchange.Known) bool {
	switch known {
	case exchange.Host, exchange.ContentLength, exchange.Trailer, exchange.Expect:
		return true
	}
	return known.HopByHop()
}

// forwards says whether a field tells what came through the gateway, which the gateway writes itself.
func forwards(known exchange.Known, name string) bool {
	switch known {
	case exchange.Forwarded, exchange.XForwardedFor, exchange.XForwardedProto, exchange.XForwardedHost, exchange.XForwardedPort, exchange.XRealIP:
		return true
	}
	return strings.EqualFold(name, forwardedMethod) || strings.EqualFold(name, forwardedURI)
}

func badToService(known exchange.Known, name string) bool {
	return frames(known) || forwards(known, name) || known.Ours()
}

func badToEndpoint(known exchange.Known, name string) bool {
	switch known {
	case exchange.TE, exchange.Range, exchange.IfRange, exchange.ContentType, exchange.ContentEncoding, exchange.ContentRange, exchange.XRequestID:
		return true // about the client's message
	}
	return badToService(known, name)
}

func badToClient(known exchange.Known, name string) bool {
	return frames(known) || known == exchange.Date || known == exchange.ContentEncoding || strings.EqualFold(name, "Alt-Svc")
}

func badFromService(known exchange.Known, _ string) bool { return frames(known) }

// Bind implements policy.Binder. The service's connections and its breaker outlive the revision, as long as what they depend on stays.
func (s *settings) Bind(w *policy.World) (any, error) {
	client, err := fetch.New(fetch.Settings{
		CA: s.ca, Timeout: s.options.Timeout.Std(), MaxBody: maxBody, MaxConnections: s.options.Concurrency, Plain: s.options.Plain,
	})
	if err != nil {
		return nil, s.source.Errorf("ca", "%v", err)
	}
	where := fetch.Place(s.url)
	p := &forwardAuth{
		url: s.url, same: s.options.Method == "same", method: s.options.Method,
		copied: known(s.options.RequestHeaders), granted: known(s.options.ResponseHeaders), told: known(s.options.AnswerHeaders),
		consumerHeader: s.options.ConsumerHeader, subjectHeader: s.options.SubjectHeader, consumers: w.Consumers,
	}
	p.both = both(s.options.RequestHeaders, s.options.ResponseHeaders)
	p.judges = p.copies(&exchange.Field{Known: exchange.Authorization}) != nil
	asked := fmt.Sprintf("%x %s", sha256.Sum256([]byte(s.url.String())), client.Identity())
	p.service = policy.Hold(w.State, name, asked, func() *service {
		return newService(client, where, s.options.Concurrency, s.options.Timeout.Std()+time.Second, w.Log)
	})
	if c := &s.options; c.Cache > 0 {
		taken := fmt.Sprintf("%s %q %s %s %s %s", c.Method, c.ResponseHeaders, c.ConsumerHeader, c.SubjectHeader, c.Cache, c.CacheSize)
		p.memory = policy.Hold(w.State, name+" memory", asked+" "+taken, func() *memory {
			return newMemory(uint64(c.CacheSize), c.Cache.Std(), where)
		})
	}
	return p, nil
}

// both are the names in both lists.
func both(a, b []string) *exchange.Names {
	in, out := exchange.NewNames(a...), []string(nil)
	for _, name := range b {
		if in.Has(name) {
			out = append(out, name)
		}
	}
	return exchange.NewNames(out...)
}

// field is the name of a field to copy.
type field struct {
	name  string
	known exchange.Known
}

func known(names []string) []field {
	all := make([]field, 0, len(names))
	for _, n := range names {
		all = append(all, field{n, exchange.Lookup(n)})
	}
	return all
}
