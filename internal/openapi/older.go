package openapi

import (
	"slices"
	"strings"
)

// names are keys below which keys are names and no keywords.
var names = map[string]bool{"properties": true, "patternProperties": true, "$defs": true, "definitions": true, "dependentSchemas": true, "schemas": true,
	"paths": true, "parameters": true, "requestBodies": true, "responses": true, "headers": true, "content": true, "callbacks": true, "pathItems": true,
	"securitySchemes": true, "links": true, "encoding": true, "webhooks": true, "variables": true}

// today makes of a document one whose schemas are JSON Schema 2020-12 and are about requests: what 3.0 says in its own words is said in today's
// (OpenAPI 3.0.3 §4.7.24), and what is read-only is not required (OpenAPI 3.1.0 §4.8.24, JSON Schema Validation §9.4).
func today(v any, old, named bool) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = today(e, old, false)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		if ref, ok := v["$ref"].(string); ok && old && !named {
			return map[string]any{"$ref": ref} // what stands beside counts for nothing (§4.7.23)
		}
		for key, value := range v {
			if !named && (strings.HasPrefix(key, "x-") || key == "example" || key == "examples" || key == "default" || key == "enum" || key == "const") {
				out[key] = value
				continue
			}
			out[key] = today(value, old, !named && names[key] && isMap(value))
		}
		if !named {
			if old {
				older(out)
			}
			notRequired(out)
		}
		return out
	}
	return v
}

func isMap(v any) bool {
	_, is := v.(map[string]any)
	return is
}

// older says in today's words what a schema of 3.0 says.
func older(m map[string]any) {
	if kind, ok := m["type"].(string); ok && m["nullable"] == true {
		m["type"] = []any{kind, "null"}
	}
	for key, other := range map[string]string{"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"} {
		if exclusive, ok := m[key].(bool); ok {
			delete(m, key)
			if bound, is := m[other]; is && exclusive {
				delete(m, other)
				m[key] = bound
			}
		}
	}
}

// notRequired takes members that only answers have from those a request has to have.
func notRequired(m map[string]any) {
	required, ok := m["required"].([]any)
	members, ok2 := m["properties"].(map[string]any)
	if !ok || !ok2 {
		return
	}
	left := slices.DeleteFunc(slices.Clone(required), func(name any) bool {
		word, _ := name.(string)
		member, _ := members[word].(map[string]any)
		return member["readOnly"] == true
	})
	if len(left) == 0 {
		delete(m, "required")
	} else {
		m["required"] = left
	}
}
