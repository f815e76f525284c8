package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// The bounds of what is read from YAML.
const (
	maxDepth   = 200
	maxAliased = 100_000 // nodes, with those of aliases counted each time
)

// Read reads a document in JSON or YAML. Errors name the file, the line and the column.
func Read(name string, text []byte) (any, error) {
	if len(text) > MaxFile {
		return nil, fmt.Errorf("%s: the file has more than %d MiB", name, MaxFile>>20)
	}
	if trimmed := bytes.TrimSpace(text); strings.HasSuffix(name, ".json") || len(trimmed) > 0 && trimmed[0] == '{' {
		doc, err := Decode(text)
		if err == nil {
			return doc, nil
		}
		if strings.HasSuffix(name, ".json") {
			return nil, fmt.Errorf("%s:%v", name, err)
		}
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("%s: %s", name, strings.ReplaceAll(err.Error(), "\n", " "))
	}
	if len(root.Content) == 0 {
		return nil, fmt.Errorf("%s: the file is empty", name)
	}
	left := maxAliased + len(text)
	doc, err := plain(root.Content[0], 0, &left)
	if err != nil {
		return nil, fmt.Errorf("%s:%v", name, err)
	}
	return doc, nil
}

// Decode reads JSON, with numbers as they are written. Errors begin with the line and the column.
func Decode(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return v, nil
		}
		err = fmt.Errorf("something stands behind the value")
	}
	before := text[:min(int(d.InputOffset()), len(text))]
	if wrong, ok := err.(*json.SyntaxError); ok {
		before = text[:min(max(int(wrong.Offset)-1, 0), len(text))]
	}
	return nil, fmt.Errorf("%d:%d: %v", bytes.Count(before, []byte{'\n'})+1, len(before)-bytes.LastIndexByte(before, '\n'), err)
}

// plain makes of YAML what JSON would be.
func plain(n *yaml.Node, depth int, left *int) (any, error) {
	fail := func(text string) error { return fmt.Errorf("%d:%d: %s", n.Line, n.Column, text) }
	if *left--; depth > maxDepth || *left < 0 {
		return nil, fail("the document is nested too deeply, or its aliases come to too much")
	}
	switch n.Kind {
	case yaml.AliasNode:
		return plain(n.Alias, depth+1, left)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, kid := range n.Content {
			v, err := plain(kid, depth+1, left)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
				return nil, fmt.Errorf("%d:%d: a key has to be a word, and << is not known", key.Line, key.Column)
			}
			if _, twice := m[key.Value]; twice {
				return nil, fmt.Errorf("%d:%d: the key %q stands twice", key.Line, key.Column, key.Value)
			}
			v, err := plain(n.Content[i+1], depth+1, left)
			if err != nil {
				return nil, err
			}
			m[key.Value] = v
		}
		return m, nil
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!null":
			return nil, nil
		case "!!bool":
			var b bool
			return b, n.Decode(&b)
		case "!!int", "!!float":
			if json.Valid([]byte(n.Value)) {
				return json.Number(n.Value), nil
			}
			r, ok := new(big.Rat).SetString(strings.TrimPrefix(n.Value, "+"))
			if !ok || len(n.Value) > 100 {
				return nil, fail("JSON has no such number")
			}
			if r.IsInt() {
				return json.Number(r.Num().String()), nil
			}
			f, _ := r.Float64()
			return json.Number(fmt.Sprint(f)), nil
		}
		return n.Value, nil
	}
	return nil, fail("found what JSON does not have")
}

// Exact makes of a document whose numbers are float64 one as Read gives it. Whole numbers beyond 2^53 are not what was written any more.
func Exact(v any) any {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return json.Number(strconv.FormatInt(int64(v), 10))
		}
		return json.Number(strconv.FormatFloat(v, 'g', -1, 64))
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[key] = Exact(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = Exact(v[i])
		}
		return out
	}
	return v
}
