package token

import (
	"encoding/json"
	"slices"
	"strings"
)

// Lookup finds a claim by its name, or by the names on the way to it with dots between, as in realm_access.roles. Names may hold dots
// themselves, as those that are addresses do: a claim that has the whole path for its name comes first, then the shortest first name that
// leads on.
func Lookup(claims map[string]any, path string) (any, bool) {
	if v, there := claims[path]; there {
		return v, true
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if inner, ok := claims[path[:i]].(map[string]any); ok {
			if v, there := Lookup(inner, path[i+1:]); there {
				return v, true
			}
		}
	}
	return nil, false
}

// Matches says whether a claim is one of the values, or a list that has one of them. Numbers and truth values are compared as they are
// written; objects and null match nothing.
func Matches(claim any, values []string) bool {
	if list, ok := claim.([]any); ok {
		return slices.ContainsFunc(list, func(v any) bool {
			text, ok := scalar(v)
			return ok && slices.Contains(values, text)
		})
	}
	text, ok := scalar(claim)
	return ok && slices.Contains(values, text)
}

// Text writes a claim for a header field: a string as it is, numbers and truth values as in JSON, a list of these with commas between.
// It reports false for objects, null, lists that hold something else, and lists with a comma in an item, which would be read as two.
func Text(claim any) (string, bool) {
	list, ok := claim.([]any)
	if !ok {
		return scalar(claim)
	}
	texts := make([]string, len(list))
	for i, v := range list {
		text, ok := scalar(v)
		if !ok || strings.Contains(text, ",") {
			return "", false
		}
		texts[i] = text
	}
	return strings.Join(texts, ","), true
}

func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return string(v), true
	case bool:
		if v {
			return "true", true
		}
		return "false", true
	}
	return "", false
}

// ScopesOf reads what a token is good for: the claim scope (RFC 8693 §4.2, RFC 9068 §2.2.3), or scp or scopes, by which some issuers call
// it; a string with spaces between or a list. list is the same, joined by spaces. It reports false when the claim is of another kind, or
// a scope holds what none may (RFC 6749 §3.3).
func ScopesOf(claims map[string]any) (scopes []string, list string, ok bool) {
	for _, name := range []string{"scope", "scp", "scopes"} {
		switch v := claims[name].(type) {
		case nil:
			continue
		case string:
			for scope := range strings.SplitSeq(v, " ") {
				if scope != "" {
					scopes = append(scopes, scope)
				}
			}
		case []any:
			for _, item := range v {
				scope, isText := item.(string)
				if !isText || scope == "" {
					return nil, "", false
				}
				scopes = append(scopes, scope)
			}
		default:
			return nil, "", false
		}
		break
	}
	for _, scope := range scopes {
		for i := range len(scope) {
			if c := scope[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
				return nil, "", false
			}
		}
	}
	return scopes, strings.Join(scopes, " "), true
}
