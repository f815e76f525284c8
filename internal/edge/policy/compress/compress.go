// Package compress is the policy compress (steps 4 and 9): answers go to clients compressed with gzip, zstd or br, as Accept-Encoding
// asks for (RFC 9110 §12.5.3).
//
// In reading order: compress.go (options, and the life of a request), choose.go (what the client takes), types.go (what is worth it),
// response.go (whether, and what else of an answer changes with its coding), body.go (content on its way through an encoder), stock.go
// (the encoders, and how much memory they may take).
//
// It refuses to decode what an endpoint encoded, to wait for content in order to compress it better, and to have more encoders at
// work than there is room for: answers go as they are then.
package compress

import (
	"slices"
	"strings"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Prefer  []string      `yaml:"prefer" default:"zstd,br,gzip" length:"1..3" doc:"The codings used, the best first: which of those that the client likes equally is taken."`
	Types   []string      `yaml:"types" default:"text/*,application/json,application/javascript,application/x-javascript,application/xml,application/wasm,application/manifest+json,application/x-ndjson,image/svg+xml,image/x-icon,font/ttf,font/otf,+json,+xml" length:"1..64" doc:"The media types worth it: type/subtype, type/*, or +suffix for all with that suffix."`
	MinSize document.Size `yaml:"min_size" default:"1KiB" range:"0B..64KiB" doc:"Shorter answers go as they are."`
	Level   string        `yaml:"level" default:"balanced" enum:"fast,balanced,small" doc:"How hard encoders try."`
	Memory  document.Size `yaml:"memory" default:"64MiB" range:"8MiB..4GiB" doc:"How much memory the encoders at work on all routes may take together, with one more that is to begin."`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "compress", Options: Options{}, Build: build}

// unbound is the policy before it has encoders.
type unbound struct{ settings }

type settings struct {
	prefer []coding // each once
	types  types
	least  int64 // bytes
	memory int64 // bytes
	level  level
}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	s := settings{least: int64(options.MinSize), memory: int64(options.Memory)}
	for _, word := range options.Prefer {
		c := codingOf(word)
		switch {
		case c == none:
			return nil, o.Errorf("prefer", "%q is no coding this gateway knows: zstd, br and gzip are", word)
		case slices.Contains(s.prefer, c):
			return nil, o.Errorf("prefer", "%s is there twice", word)
		}
		s.prefer = append(s.prefer, c)
	}
	for _, text := range options.Types {
		if err := s.types.add(text); err != "" {
			return nil, o.Errorf("types", "%q %s", text, err)
		}
	}
	s.level = level(slices.Index(levelNames[:], options.Level))
	return &unbound{s}, nil
}

// Bind implements policy.Binder. All routes share the encoders.
func (u *unbound) Bind(w *policy.World) (any, error) {
	return &compress{u.settings, policy.Hold(w.State, Kind.Name, "", newStock)}, nil
}

// compress is the policy with the encoders of the process.
type compress struct {
	settings
	stock *stock
}

// Request implements policy.Request. A client that got a strong tag from us in its weak form shows that when it wants nothing to have
// changed. If-Match compares strongly (RFC 9110 §13.1.1), so that no weak tag ever matches: the endpoint gets the tag as it gave it. If
// the tag was weak from the beginning, the endpoint's own is, and still nothing matches.
func (c *compress) Request(x *exchange.Exchange) {
	fields := x.Request.Header.All()
	for i := range fields {
		if f := &fields[i]; f.Known == exchange.IfMatch && strings.Contains(f.Value, `W/"`) {
			f.Value = x.KeepScratch(appendStrong(x.Scratch(), f.Value))
		}
	}
}

// appendStrong appends a list of entity tags without the marks of weakness between them. What stands in quotes is left alone.
func appendStrong(b []byte, list string) []byte {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch {
		case list[i] == '"':
			quoted = !quoted
		case !quoted && strings.HasPrefix(list[i:], `W/"`):
			i++
			continue
		}
		b = append(b, list[i])
	}
	return b
}
