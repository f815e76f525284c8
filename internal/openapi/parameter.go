package openapi

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"straum.dev/straum/internal/schema"
)

// Head is of a request what parameters are in.
type Head struct {
	Query string // escaped, without the question mark
	// Header gives the values of a field, in order.
	Header func(name string) []string
}

// maxPairs is how many parameters a query, a form or a cookie may have.
const maxPairs = 1000

// pair is a name and a value, as they are meant.
type pair struct{ name, value string }

// split takes a query or a form apart. ok is false when there is too much.
func split(text string) (pairs []pair, ok bool) {
	for part := range strings.SplitSeq(text, "&") {
		if part == "" {
			continue
		}
		if len(pairs) == maxPairs {
			return nil, false
		}
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, pair{meant(name), meant(value)})
	}
	return pairs, true
}

// meant is what a part of a query stands for. One that is badly escaped stands for itself.
func meant(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

// Parameters judges the parameters of a request.
func (f *Found) Parameters(h Head) (problems []Problem) {
	var query, cookies []pair
	ok := true
	for _, p := range f.parameters {
		if p.in == "query" && query == nil && h.Query != "" {
			if query, ok = split(h.Query); !ok {
				return []Problem{{"query", schema.Problem{Message: "has too many parameters"}}}
			}
		}
		if p.in == "cookie" && cookies == nil {
			if cookies, ok = cookiePairs(h.Header("cookie")); !ok {
				return []Problem{{"cookie", schema.Problem{Message: "has too many cookies"}}}
			}
		}
		var value any
		there, why := false, ""
		switch p.in {
		case "path":
			value, there = p.simple(f.values[p.index]), true
		case "query":
			value, there, why = p.fromPairs(query)
		case "cookie":
			value, there, why = p.fromPairs(cookies)
		case "header":
			if lines := h.Header(p.name); len(lines) > 0 {
				value, there = p.simple(strings.Join(lines, ",")), true
			}
		}
		problems = append(problems, p.judge(value, there, why)...)
		if len(problems) >= schema.MaxProblems {
			return problems[:schema.MaxProblems]
		}
	}
	return problems
}

func cookiePairs(lines []string) (pairs []pair, ok bool) {
	pairs = []pair{}
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ";") {
			name, value, is := strings.Cut(strings.Trim(part, " \t"), "=")
			if !is {
				continue
			}
			if len(pairs) == maxPairs {
				return nil, false
			}
			pairs = append(pairs, pair{name, strings.Trim(value, `"`)})
		}
	}
	return pairs, true
}

// judge says what is wrong with a parameter.
func (p *parameter) judge(value any, there bool, why string) (problems []Problem) {
	pointer := "/" + strings.ReplaceAll(strings.ReplaceAll(p.name, "~", "~0"), "/", "~1")
	wrong := func(message string) []Problem {
		return []Problem{{p.in, schema.Problem{Pointer: pointer, Message: message}}}
	}
	switch {
	case why != "":
		return wrong(why)
	case !there && p.required:
		return wrong("is required")
	case !there || p.schema == nil || value == "" && p.mayBeBare:
		return nil
	}
	if p.json {
		text, _ := value.(string)
		var err error
		if len(text) > maxJSON || !shallow(text) {
			return wrong("is larger than can be judged")
		}
		if value, err = schema.Decode([]byte(text)); err != nil {
			return wrong("is not JSON")
		}
	}
	for _, problem := range p.schema.Validate(value) {
		problem.Pointer = pointer + problem.Pointer
		problems = append(problems, Problem{p.in, problem})
	}
	return problems
}

// The bounds of JSON in a parameter.
const (
	maxJSON  = 16 << 10
	maxDepth = 64
)

// shallow says whether no more brackets are open at a time than may be; those in strings count too.
func shallow(text string) bool {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '[', '{':
			if depth++; depth > maxDepth {
				return false
			}
		case ']', '}':
			depth--
		}
	}
	return true
}

// simple is the value of what stands in a path or a field (RFC 6570 §3.2.2).
func (p *parameter) simple(text string) any {
	switch {
	case p.json || p.schema == nil:
		return text
	case p.schema.Wants("array"):
		return elements(p.schema, list(text, ","))
	case p.schema.Wants("object"):
		return p.flat(list(text, ","))
	}
	return scalar(p.schema, text)
}

// list takes a list apart; an empty text is one of nothing.
func list(text, by string) []string {
	if text == "" {
		return nil
	}
	parts := strings.Split(text, by)
	for i := range parts {
		parts[i] = strings.Trim(parts[i], " \t")
	}
	return parts
}

// flat makes an object of name,value,name,value or, exploded, of name=value,name=value.
func (p *parameter) flat(parts []string) any {
	o := map[string]any{}
	for i := 0; i < len(parts); i++ {
		name, value := parts[i], ""
		if p.explode {
			name, value, _ = strings.Cut(parts[i], "=")
		} else if i+1 < len(parts) {
			i++
			value = parts[i]
		}
		o[name] = scalar(p.schema.Member(name), value)
	}
	return o
}

// fromPairs is the value of a parameter in a query or a cookie.
func (p *parameter) fromPairs(pairs []pair) (value any, there bool, why string) {
	if p.schema != nil && !p.json && p.schema.Wants("object") && (p.style == "deepObject" || p.explode) {
		return p.spread(pairs)
	}
	var texts []string
	for _, pair := range pairs {
		if pair.name == p.name {
			texts = append(texts, pair.value)
		}
	}
	switch {
	case len(texts) == 0:
		return nil, false, ""
	case p.schema != nil && !p.json && p.schema.Wants("array") && (p.explode || len(texts) > 1 || !p.schema.Wants("string")):
		if !p.explode {
			if len(texts) > 1 {
				return nil, true, "stands more than once"
			}
			by := map[string]string{"spaceDelimited": " ", "pipeDelimited": "|"}[p.style]
			if by == "" {
				by = ","
			}
			texts = list(texts[0], by)
		}
		return elements(p.schema, texts), true, ""
	case len(texts) > 1:
		return nil, true, "stands more than once" // readers differ in which counts
	case p.schema == nil || p.json:
		return texts[0], true, ""
	case p.schema.Wants("object"):
		return p.flat(list(texts[0], ",")), true, ""
	}
	return scalar(p.schema, texts[0]), true, ""
}

// spread makes an object of parameters of its own: name[member]=value for deepObject, member=value for form.
func (p *parameter) spread(pairs []pair) (any, bool, string) {
	texts := map[string][]string{}
	members := p.schema.Members()
	for _, pair := range pairs {
		name := pair.name
		if p.style == "deepObject" {
			rest, ok := strings.CutPrefix(name, p.name+"[")
			if !ok || !strings.HasSuffix(rest, "]") {
				continue
			}
			name = strings.TrimSuffix(rest, "]")
		} else if !slices.Contains(members, name) {
			continue
		}
		texts[name] = append(texts[name], pair.value)
	}
	if len(texts) == 0 {
		return nil, false, ""
	}
	o, twice := object(p.schema, texts)
	if twice {
		return nil, true, "has a member that stands more than once"
	}
	return o, true, ""
}

// object makes an object of texts. twice says that a member which is no list has several.
func object(s *schema.Schema, texts map[string][]string) (o map[string]any, twice bool) {
	o = make(map[string]any, len(texts))
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		var member *schema.Schema
		if s != nil {
			member = s.Member(name)
		}
		switch all := texts[name]; {
		case member != nil && member.Wants("array"):
			o[name] = elements(member, all)
		case len(all) > 1:
			return nil, true
		default:
			o[name] = scalar(member, all[0])
		}
	}
	return o, false
}

func elements(s *schema.Schema, texts []string) any {
	of := s.Element()
	all := make([]any, len(texts))
	for i, text := range texts {
		all[i] = scalar(of, text)
	}
	return all
}

// scalar is what a text stands for: what the schema takes of all that it could be.
func scalar(s *schema.Schema, text string) any {
	if s == nil {
		return text
	}
	var other any = text
	switch {
	case isNumber(text) && (s.Wants("number") || s.Wants("integer")):
		other = json.Number(text)
	case (text == "true" || text == "false") && s.Wants("boolean"):
		other = text == "true"
	case text == "" && s.Wants("null"):
		other = nil
	default:
		return text
	}
	if s.Wants("string") && s.Validate(other) != nil {
		return text
	}
	return other
}

// isNumber says whether a text is a number as JSON writes them.
func isNumber(text string) bool {
	return text != "" && len(text) <= 64 && (text[0] == '-' || text[0] >= '0' && text[0] <= '9') && json.Valid([]byte(text))
}
