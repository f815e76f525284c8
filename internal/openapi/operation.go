package openapi

import (
	"slices"
	"strconv"
	"strings"

	"straum.dev/straum/internal/schema"
)

// Operation is what a request may be for.
type Operation struct {
	parameters []*parameter
	body       *body
}

// parameter is one parameter.
type parameter struct {
	in, name  string
	index     int // of the path's braces
	style     string
	explode   bool
	required  bool
	mayBeBare bool // the name may stand without a value
	json      bool // the value is JSON
	schema    *schema.Schema
}

// operation reads one. names are those in the braces of its path.
func (l *loading) operation(item, at place, names []string) (*Operation, error) {
	o := &Operation{}
	for _, list := range []place{at.at("parameters"), item.at("parameters")} {
		all, _ := list.value.([]any)
		for i, v := range all {
			p, err := l.parameter(place{list.name, list.pointer + "/" + strconv.Itoa(i), v}, names)
			if err != nil {
				return nil, err
			}
			if p == nil || slices.ContainsFunc(o.parameters, func(other *parameter) bool { return other.in == p.in && other.name == p.name }) {
				continue // an operation's own counts before its path's
			}
			o.parameters = append(o.parameters, p)
		}
	}
	var err error
	o.body, err = l.body(at.at("requestBody"))
	return o, err
}

func (l *loading) parameter(at place, names []string) (*parameter, error) {
	at, err := l.follow(at)
	if err != nil {
		return nil, err
	}
	p := &parameter{in: at.text("in"), name: at.text("name"), style: at.text("style"), required: at.truth("required", false), mayBeBare: at.truth("allowEmptyValue", false)}
	styles := []string{"simple"}
	switch p.in {
	case "path":
		if p.index = slices.Index(names, p.name); p.index < 0 {
			return nil, at.errorf("the path has no {%s}", p.name)
		}
	case "header":
		switch strings.ToLower(p.name) {
		case "accept", "content-type", "authorization":
			return nil, nil // the document cannot say anything of these here (OpenAPI 3.1.0 §4.8.12.2)
		}
	case "query":
		styles = []string{"form", "spaceDelimited", "pipeDelimited", "deepObject"}
	case "cookie":
		styles = []string{"form"}
	default:
		return nil, at.errorf("found in: %.20q; allowed: path, query, header, cookie", p.in)
	}
	if p.style == "" {
		p.style = styles[0]
	}
	if !slices.Contains(styles, p.style) {
		return nil, at.errorf("the style %.20q of a parameter in %s is not known here; allowed: %s", p.style, p.in, strings.Join(styles, ", "))
	}
	p.explode = at.truth("explode", p.style == "form")
	p.schema, err = l.schema(at.at("schema"))
	if content, ok := at.at("content").value.(map[string]any); ok && err == nil {
		for kind := range content {
			p.json = isJSON(kind)
			if p.json {
				p.schema, err = l.schema(at.at("content", kind, "schema"))
			}
		}
	}
	return p, err
}

// isJSON says whether a media type, without parameters, is JSON.
func isJSON(kind string) bool {
	kind = strings.ToLower(kind)
	return kind == "application/json" || strings.HasSuffix(kind, "+json")
}
