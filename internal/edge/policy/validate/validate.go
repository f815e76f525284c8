// Package validate is the policy validate (step 4): whether a request is as a JSON Schema or a document in OpenAPI says, before any endpoint sees
// it.
//
// In reading order: validate.go (options), bind.go (files), bodies.go (by a JSON Schema), described.go (by a document in OpenAPI), desk.go (how
// many at a time), answer.go (what the client is told).
//
// It refuses to judge answers, to fetch anything, and to tell a value to anybody: neither the client nor the log sees one again.
package validate

import (
	"strings"
	"time"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/jsonedit"
	"straum.dev/straum/internal/schema"
)

// Options are those of the policy.
type Options struct {
	Schema   document.Node     `yaml:"schema" doc:"the JSON Schema of bodies: a file in JSON or YAML, or the schema itself"`
	OpenAPI  string            `yaml:"openapi" doc:"a file with a document in OpenAPI 3.0 or 3.1, in JSON or YAML"`
	Base     *string           `yaml:"base" pattern:"^/" form:"a path that begins with a slash" doc:"the path that all paths of the OpenAPI document stand below; without it, those of the document's servers"`
	Unknown  string            `yaml:"unknown" default:"refuse" enum:"refuse,pass" doc:"what becomes of requests for which the OpenAPI document has no operation"`
	Types    []string          `yaml:"types,one" length:"1..16" doc:"media types that are JSON besides application/json and those that end in +json, with schema"`
	Required bool              `yaml:"required" default:"true" doc:"whether POST, PUT and PATCH need a body, with schema"`
	Formats  bool              `yaml:"formats" default:"true" doc:"whether format in a schema judges, or only tells"`
	Status   int               `yaml:"status" default:"422" range:"400..422" doc:"the status of the answer to a request that is not as it should be: 400 or 422"`
	Max      document.Size     `yaml:"max" default:"1MiB" range:"1B..16MiB" doc:"how large a body may be"`
	Values   int               `yaml:"values" default:"65536" range:"1..1000000" doc:"how many values the JSON of a body may have"`
	Depth    int               `yaml:"depth" default:"64" range:"1..512" doc:"how many arrays and objects may stand within each other"`
	Within   document.Duration `yaml:"within" default:"30s" range:"1s..1h" doc:"how long a body may take to arrive"`
	DryRun   bool              `yaml:"dry_run" default:"false" doc:"judge and log, and let everything pass"`
	_        struct{}          `oneof:"schema,openapi"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "validate", Options: Options{}, Build: build}

// The bounds of a number in a body. A larger one is no good to anybody, and costs whoever works with it.
const (
	maxDigits   = 256
	maxExponent = 999
)

// common is what both ways of judging have.
type common struct {
	limits jsonedit.Limits
	max    int64
	within time.Duration
	status int
	dry    bool
}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	if options.Status != 400 && options.Status != 422 {
		return nil, o.Errorf("status", "found %d; allowed: 400 or 422", options.Status)
	}
	c := common{
		limits: jsonedit.Limits{Depth: options.Depth, Values: options.Values, Digits: maxDigits, Exponent: maxExponent},
		max:    int64(options.Max), within: time.Duration(options.Within), status: options.Status, dry: options.DryRun,
	}
	u := &unbound{common: c, at: o, formats: options.Formats, base: options.Base, pass: options.Unknown == "pass"}
	if options.OpenAPI != "" {
		u.openapi, u.key = true, "openapi"
		u.file = o.Beside(options.OpenAPI)
		return u, nil
	}
	if options.Base != nil {
		return nil, o.Errorf("base", "it says where the paths of an OpenAPI document are, and there is none")
	}
	b := &bodies{common: c, required: options.Required}
	for _, kind := range options.Types {
		major, minor, ok := strings.Cut(kind, "/")
		if !ok || !grammar.IsToken(major) || !grammar.IsToken(minor) {
			return nil, o.Errorf("types", "%q is no media type; write type/subtype without parameters", kind)
		}
		b.types = append(b.types, strings.ToLower(kind))
	}
	u.bodies, u.key = b, "schema"
	switch written := options.Schema.Any().(type) {
	case string:
		var file string
		if err := options.Schema.Decode(&file); err != nil {
			return nil, err
		}
		u.file = o.Beside(file)
		return u, nil
	case map[string]any, bool:
		l := schema.NewLibrary(nil, schema.Options{Formats: options.Formats})
		err := l.Add("schema", schema.Exact(written))
		if err == nil {
			b.schema, err = l.Compile("schema", "")
		}
		if err != nil {
			return nil, o.Errorf("schema", "%v", err)
		}
		return b, nil
	}
	return nil, o.Errorf("schema", "allowed: the name of a file, or a JSON Schema")
}
