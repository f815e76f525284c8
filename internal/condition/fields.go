package condition

import (
	"net/url"
	"reflect"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// finder looks one text up in what a lazy map stands for. A value that cannot be judged is an error.
type finder interface {
	find(key string) (value string, there bool, bad ref.Val)
	keys() []string
}

// headers are request.headers.
type headers struct {
	facts Facts
}

func (h *headers) find(name string) (string, bool, ref.Val) {
	value, there := h.facts.Field(name)
	return bounded(value, there)
}

func (h *headers) keys() []string { return h.facts.FieldNames() }

// query is request.query_params.
type query struct {
	facts Facts
}

// find takes a parameter that is there twice for an error: an endpoint may read another of the two.
func (q *query) find(name string) (string, bool, ref.Val) {
	found, there := "", false
	for rest, more := q.facts.Query(), true; more; {
		var pair string
		pair, rest, more = strings.Cut(rest, "&")
		key, value, _ := strings.Cut(pair, "=")
		if pair == "" || !named(key, name) {
			continue
		}
		if there {
			return "", true, types.NewErr("parameter given twice")
		}
		found, there = value, true
	}
	if !there {
		return "", false, nil
	}
	value, err := url.QueryUnescape(found)
	if err != nil {
		return "", true, types.NewErr("parameter with a bad escape")
	}
	return bounded(value, true)
}

// named says whether a key as it stands in a query is a name.
func named(key, name string) bool {
	if strings.IndexByte(key, '%') < 0 && strings.IndexByte(key, '+') < 0 {
		return key == name
	}
	plain, err := url.QueryUnescape(key)
	return err == nil && plain == name
}

func (q *query) keys() []string {
	var all []string
	seen := map[string]bool{}
	for rest, more := q.facts.Query(), true; more; {
		var pair string
		pair, rest, more = strings.Cut(rest, "&")
		key, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(key); pair != "" && err == nil && !seen[plain] {
			seen[plain] = true
			all = append(all, plain)
		}
	}
	return all
}

func bounded(value string, there bool) (string, bool, ref.Val) {
	if len(value) > MaxValue {
		return "", there, types.NewErr("value too long")
	}
	return value, there, nil
}

// What follows makes both maps of CEL. Looking one key up is all that is done without need.

// FindStringKey is how the program looks up a key that stands in the expression.
func (h *headers) FindStringKey(key string) (any, bool) { return findKey(h, key) }

// FindStringKey is how the program looks up a key that stands in the expression.
func (q *query) FindStringKey(key string) (any, bool) { return findKey(q, key) }

func findKey(f finder, key string) (any, bool) {
	value, there, bad := f.find(key)
	if bad != nil {
		return bad, true
	}
	return value, there
}

func find(f finder, key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key), false
	}
	value, there, bad := f.find(string(name))
	switch {
	case bad != nil:
		return bad, true
	case !there:
		return nil, false
	}
	return types.String(value), true
}

func get(f finder, key ref.Val) ref.Val {
	value, there := find(f, key)
	if value == nil && !there {
		return types.NewErr("no such key")
	}
	return value
}

func contains(f finder, key ref.Val) ref.Val {
	value, there := find(f, key)
	if types.IsError(value) {
		return value
	}
	return types.Bool(there)
}

// whole is the map in full, for what is seldom asked: iterating, comparing, counting.
func whole(f finder) traits.Mapper {
	m := map[string]any{}
	for _, key := range f.keys() {
		m[key], _ = findKey(f, key)
	}
	return types.NewStringInterfaceMap(types.DefaultTypeAdapter, m)
}

func (h *headers) Find(key ref.Val) (ref.Val, bool)             { return find(h, key) }
func (h *headers) Get(key ref.Val) ref.Val                      { return get(h, key) }
func (h *headers) Contains(key ref.Val) ref.Val                 { return contains(h, key) }
func (h *headers) Iterator() traits.Iterator                    { return whole(h).Iterator() }
func (h *headers) Size() ref.Val                                { return types.Int(len(h.keys())) }
func (h *headers) Equal(other ref.Val) ref.Val                  { return whole(h).Equal(other) }
func (h *headers) ConvertToNative(to reflect.Type) (any, error) { return whole(h).ConvertToNative(to) }
func (h *headers) ConvertToType(to ref.Type) ref.Val            { return whole(h).ConvertToType(to) }
func (h *headers) Type() ref.Type                               { return types.MapType }
func (h *headers) Value() any                                   { return whole(h).Value() }

func (q *query) Find(key ref.Val) (ref.Val, bool)             { return find(q, key) }
func (q *query) Get(key ref.Val) ref.Val                      { return get(q, key) }
func (q *query) Contains(key ref.Val) ref.Val                 { return contains(q, key) }
func (q *query) Iterator() traits.Iterator                    { return whole(q).Iterator() }
func (q *query) Size() ref.Val                                { return types.Int(len(q.keys())) }
func (q *query) Equal(other ref.Val) ref.Val                  { return whole(q).Equal(other) }
func (q *query) ConvertToNative(to reflect.Type) (any, error) { return whole(q).ConvertToNative(to) }
func (q *query) ConvertToType(to ref.Type) ref.Val            { return whole(q).ConvertToType(to) }
func (q *query) Type() ref.Type                               { return types.MapType }
func (q *query) Value() any                                   { return whole(q).Value() }

var (
	_ traits.Mapper = (*headers)(nil)
	_ traits.Mapper = (*query)(nil)
)
