package openapi

import (
	"maps"
	"slices"
	"strings"

	"straum.dev/straum/internal/schema"
)

// body is what an operation takes as one.
type body struct {
	required bool
	kinds    []content // what names more comes first
}

// content is one media type, or a range of them.
type content struct {
	kind   string // in lower case, without parameters
	schema *schema.Schema
}

func (l *loading) body(at place) (*body, error) {
	at, err := l.follow(at)
	if err != nil || at.value == nil {
		return nil, err
	}
	b := &body{required: at.truth("required", false)}
	all, _ := at.at("content").value.(map[string]any)
	for _, kind := range slices.Sorted(maps.Keys(all)) {
		media, err := l.follow(at.at("content", kind))
		if err != nil {
			return nil, err
		}
		c := content{kind: bare(kind)}
		if isJSON(c.kind) || c.kind == form || strings.HasSuffix(c.kind, "/*") {
			if c.schema, err = l.schema(media.at("schema")); err != nil {
				return nil, err
			}
		}
		b.kinds = append(b.kinds, c)
	}
	slices.SortStableFunc(b.kinds, func(x, y content) int { return strings.Count(x.kind, "*") - strings.Count(y.kind, "*") })
	return b, nil
}

const form = "application/x-www-form-urlencoded"

// bare is a media type without parameters, in lower case.
func bare(kind string) string {
	kind, _, _ = strings.Cut(kind, ";")
	return strings.ToLower(strings.Trim(kind, " \t"))
}

// Content says how a body is judged.
type Content struct {
	JSON   bool
	Form   bool
	listed bool
	schema *schema.Schema
}

// Listed says whether the operation says which types it takes.
func (c *Content) Listed() bool { return c.listed }

// Judged says whether there is anything to judge.
func (c *Content) Judged() bool { return c.schema != nil && (c.JSON || c.Form) }

// Content says how the body of a request is judged. ok is false when the operation does not take this Content-Type. An operation that says
// nothing of a body takes any.
func (o *Operation) Content(contentType string) (c Content, ok bool) {
	if o.body == nil || len(o.body.kinds) == 0 {
		return Content{}, true
	}
	kind := bare(contentType)
	major, _, _ := strings.Cut(kind, "/")
	for _, one := range o.body.kinds {
		if one.kind == kind || one.kind == "*/*" || one.kind == major+"/*" {
			return Content{JSON: isJSON(kind), Form: kind == form, listed: true, schema: one.schema}, true
		}
	}
	return Content{}, false
}

// NeedsBody says whether there has to be a body.
func (o *Operation) NeedsBody() bool { return o.body != nil && o.body.required }

// Judge judges a body. What is JSON has been checked to be, and not to be nested too deeply.
func (c *Content) Judge(text []byte) []Problem {
	var value any
	if c.Form {
		pairs, ok := split(string(text))
		if !ok {
			return []Problem{{"body", schema.Problem{Message: "has too many parameters"}}}
		}
		texts := map[string][]string{}
		for _, p := range pairs {
			texts[p.name] = append(texts[p.name], p.value)
		}
		o, twice := object(c.schema, texts)
		if twice {
			return []Problem{{"body", schema.Problem{Message: "has a member that stands more than once"}}}
		}
		value = o
	} else {
		var err error
		if value, err = schema.Decode(text); err != nil {
			return []Problem{{"body", schema.Problem{Message: "is not JSON"}}}
		}
	}
	var all []Problem
	for _, p := range c.schema.Validate(value) {
		all = append(all, Problem{"body", p})
	}
	return all
}
