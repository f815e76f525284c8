// Package securityheaders is the policy security_headers (step 9): it gives responses the fields that tell browsers to be careful with them, and
// takes those away that tell of what an endpoint is made of.
//
// It refuses to write Strict-Transport-Security, which is a matter of the listener and its certificates, and, unless it is asked to, to overrule
// an endpoint.
package securityheaders

import (
	"fmt"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy. The word off leaves a field out.
type Options struct {
	ContentTypeOptions        string   `yaml:"content_type_options" default:"nosniff" enum:"nosniff,off" doc:"X-Content-Type-Options: browsers do not guess what an answer is"`
	ContentSecurityPolicy     string   `yaml:"content_security_policy" default:"default-src 'none'; frame-ancestors 'none'" length:"1..4096" doc:"Content-Security-Policy; the default is for APIs, of which no page is made"`
	FrameOptions              string   `yaml:"frame_options" default:"deny" enum:"deny,sameorigin,off" doc:"X-Frame-Options, for browsers that do not know frame-ancestors"`
	ReferrerPolicy            string   `yaml:"referrer_policy" default:"no-referrer" enum:"no-referrer,no-referrer-when-downgrade,origin,origin-when-cross-origin,same-origin,strict-origin,strict-origin-when-cross-origin,unsafe-url,off" doc:"Referrer-Policy"`
	PermissionsPolicy         string   `yaml:"permissions_policy" default:"off" length:"1..4096" doc:"Permissions-Policy"`
	CrossOriginOpenerPolicy   string   `yaml:"cross_origin_opener_policy" default:"off" enum:"same-origin,same-origin-allow-popups,noopener-allow-popups,unsafe-none,off" doc:"Cross-Origin-Opener-Policy"`
	CrossOriginEmbedderPolicy string   `yaml:"cross_origin_embedder_policy" default:"off" enum:"require-corp,credentialless,unsafe-none,off" doc:"Cross-Origin-Embedder-Policy"`
	CrossOriginResourcePolicy string   `yaml:"cross_origin_resource_policy" default:"off" enum:"same-origin,same-site,cross-origin,off" doc:"Cross-Origin-Resource-Policy"`
	Remove                    []string `yaml:"remove,one" length:"0..32" default:"Server,X-Powered-By,X-AspNet-Version,X-AspNetMvc-Version" doc:"fields of endpoints taken away"`
	Override                  bool     `yaml:"override" default:"false" doc:"put these fields in place of those that an endpoint sent"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "security_headers", Options: Options{}, Build: build}

// securityHeaders is the policy. It does not change.
type securityHeaders struct {
	fields   []field
	remove   []string
	override bool
}

type field struct{ name, value string }

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	s := &securityHeaders{override: options.Override}
	for _, f := range []struct{ key, name, value string }{
		{"content_type_options", "X-Content-Type-Options", options.ContentTypeOptions},
		{"content_security_policy", "Content-Security-Policy", options.ContentSecurityPolicy},
		{"frame_options", "X-Frame-Options", strings.ToUpper(options.FrameOptions)},
		{"referrer_policy", "Referrer-Policy", options.ReferrerPolicy},
		{"permissions_policy", "Permissions-Policy", options.PermissionsPolicy},
		{"cross_origin_opener_policy", "Cross-Origin-Opener-Policy", options.CrossOriginOpenerPolicy},
		{"cross_origin_embedder_policy", "Cross-Origin-Embedder-Policy", options.CrossOriginEmbedderPolicy},
		{"cross_origin_resource_policy", "Cross-Origin-Resource-Policy", options.CrossOriginResourcePolicy},
	} {
		if strings.EqualFold(f.value, "off") {
			continue
		}
		if err := fits(f.value); err != nil {
			return nil, o.Errorf(f.key, "%s", err)
		}
		s.fields = append(s.fields, field{f.name, f.value})
	}
	for _, name := range options.Remove {
		if err := policy.CheckField(name, true); err != nil {
			return nil, o.Errorf("remove", "%s", err)
		}
		s.remove = append(s.remove, name)
	}
	if len(s.fields)+len(s.remove) == 0 {
		return nil, o.Errorf("", "security_headers has everything off; take the policy away, or turn something on")
	}
	return s, nil
}

// fits judges a value. Browsers skip what they do not understand in one without a word, and these are ASCII throughout.
func fits(value string) error {
	if !exchange.FitsField(value) {
		return fmt.Errorf("a value has no control characters, and no space at its ends; write it on one line")
	}
	for i := range len(value) {
		if value[i] >= 0x80 {
			return fmt.Errorf("found a character outside ASCII at byte %d; write hosts as xn--…, and escape all else with a percent sign", i+1)
		}
	}
	return nil
}

// Response implements policy.Response.
func (s *securityHeaders) Response(x *exchange.Exchange) {
	h := &x.Response.Header
	if !x.Response.Own {
		for _, name := range s.remove {
			h.DelHeader(name)
		}
	}
	for i := range s.fields {
		f := &s.fields[i]
		if s.override {
			h.SetHeader(f.name, f.value)
		} else if _, there := h.Header(f.name); !there {
			h.Append(exchange.Other, f.name, f.value)
		}
	}
}
