// Package transformjson is the policy transform_json (steps 4 and 8): it changes the JSON of requests and of endpoints' answers at places named by
// JSON pointers.
//
// In reading order: transformjson.go (options), operations.go (what is done, and the values that are set), request.go (step 4), response.go
// (step 8), work.go (the room for one exchange), decode.go (content codings).
//
// It refuses to touch what is not JSON, to let pass unchanged what it is to change, unless it is told to, and to put facts of a caller into an
// answer that a cache may give to others.
package transformjson

import (
	"slices"
	"strings"
	"time"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/jsonedit"
)

// Options are those of the policy.
type Options struct {
	Request    *RequestOptions  `yaml:"request" doc:"what is done to the bodies of requests"`
	Response   *ResponseOptions `yaml:"response" doc:"what is done to the bodies of endpoints' answers"`
	Types      []string         `yaml:"types,one" length:"1..16" doc:"media types that are JSON besides application/json and those that end in +json"`
	Depth      int              `yaml:"depth" default:"64" range:"1..512" doc:"how many arrays and objects may stand within each other"`
	Duplicates string           `yaml:"duplicates" default:"refuse" enum:"refuse,keep" doc:"refuse JSON in which a name stands twice in one object, or keep both and do to each what is done to the name"`
}

// RequestOptions are what is done to requests.
type RequestOptions struct {
	Operations `yaml:",inline"`
	Max        document.Size     `yaml:"max" default:"1MiB" range:"1B..16MiB" doc:"how large a body may be, before and after"`
	Within     document.Duration `yaml:"within" default:"30s" range:"1s..1h" doc:"how long a body may take to arrive"`
	Other      string            `yaml:"other" default:"refuse" enum:"refuse,pass" doc:"what becomes of bodies that are not JSON by their Content-Type"`
}

// ResponseOptions are what is done to answers.
type ResponseOptions struct {
	Operations `yaml:",inline"`
	Max        document.Size `yaml:"max" default:"1MiB" range:"1B..16MiB" doc:"how large a body may be, before and after, when its content coding is taken off"`
	Statuses   string        `yaml:"statuses" default:"2xx" enum:"2xx,all" doc:"which answers are changed: those of success, or those of errors too"`
	Over       string        `yaml:"over" default:"fail" enum:"fail,pass" doc:"what becomes of a larger body: 502, or it passes unchanged"`
	Invalid    string        `yaml:"invalid" default:"fail" enum:"fail,pass" doc:"what becomes of a body that is not what its Content-Type says, or that cannot be read: 502, or it passes unchanged"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "transform_json", Options: Options{}, Build: build}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	if options.Request == nil && options.Response == nil {
		return nil, o.Errorf("", "nothing is to be changed; give it request or response")
	}
	var types []string
	for _, kind := range options.Types {
		major, minor, ok := strings.Cut(kind, "/")
		if !ok || !grammar.IsToken(major) || !grammar.IsToken(minor) {
			return nil, o.Errorf("types", "%q is no media type; write type/subtype without parameters", kind)
		}
		types = append(types, strings.ToLower(kind))
	}
	limits := jsonedit.Limits{Depth: options.Depth, Twice: options.Duplicates == "keep"}
	var all both
	if r := options.Request; r != nil {
		p, values, err := r.compile(o, "request", policy.NewTemplate)
		if err != nil {
			return nil, err
		}
		l := limits
		l.Output = int(r.Max)
		all.request = &request{program: p, values: values, limits: l, types: types, max: int64(r.Max), within: time.Duration(r.Within), pass: r.Other == "pass"}
	}
	if r := options.Response; r != nil {
		p, values, err := r.compile(o, "response", constant)
		if err != nil {
			return nil, err
		}
		l := limits
		l.Output = int(r.Max)
		all.response = &response{program: p, values: values, limits: l, types: types, max: int64(r.Max), errors: r.Statuses == "all",
			passLarge: r.Over == "pass", passInvalid: r.Invalid == "pass"}
	}
	switch {
	case all.response == nil:
		return all.request, nil
	case all.request == nil:
		return whole{all.response}, nil
	}
	return all, nil
}

// both changes requests and answers.
type both struct {
	*request
	*response
}

// isJSON says whether a Content-Type is taken for JSON.
func isJSON(contentType string, types []string) bool {
	if jsonedit.IsJSON(contentType) {
		return true
	}
	if len(types) == 0 {
		return false
	}
	kind, _, _ := strings.Cut(contentType, ";")
	kind = grammar.TrimSpace(kind)
	return slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(t, kind) })
}
