package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// Field is one line of a header or trailer section, as it stood.
type Field struct{ Name, Value string }

// Message is a request or response. Start and Fields are as received, in order.
type Message struct {
	Start    string
	Fields   []Field
	Framing  string // "length", "chunked", "close" or "none"; set when the body is read
	Body     []byte
	Chunks   []int // their sizes
	Trailers []Field
}

// Values returns the values of all lines of a name, in any case.
func (m *Message) Values(name string) []string {
	var all []string
	for _, f := range m.Fields {
		if strings.EqualFold(f.Name, name) {
			all = append(all, f.Value)
		}
	}
	return all
}

// Get returns the only value of a name: "" when there is none, and all of them when there are several, which no test takes for one.
func (m *Message) Get(name string) string { return strings.Join(m.Values(name), " AND ") }

// Has says whether there is a line of that name.
func (m *Message) Has(name string) bool { return len(m.Values(name)) > 0 }

// Status is the status of a response, 0 when there is none.
func (m *Message) Status() int {
	parts := strings.SplitN(m.Start, " ", 3)
	if len(parts) < 2 || !strings.HasPrefix(parts[0], "HTTP/1.") {
		return 0
	}
	status, _ := strconv.Atoi(parts[1]) // 0 is what the caller is promised
	return status
}

// Method and Target are those of a request.
func (m *Message) Method() string { return m.part(0) }

// Target is the request target as it stood.
func (m *Message) Target() string { return m.part(1) }

func (m *Message) part(i int) string {
	parts := strings.Split(m.Start, " ")
	if i >= len(parts) {
		return ""
	}
	return parts[i]
}

// Names lists the names of the fields as they stood, in order.
func (m *Message) Names() []string {
	names := make([]string, len(m.Fields))
	for i, f := range m.Fields {
		names[i] = f.Name
	}
	return names
}

// String is the head.
func (m *Message) String() string {
	var b strings.Builder
	b.WriteString(m.Start + "\r\n")
	for _, f := range m.Fields {
		b.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	return b.String()
}

// parseField takes a field line apart. It accepts one form only: NAME, colon, one space, value; or an empty value with or without
// the space.
func parseField(line string) (Field, error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || name == "" || strings.ContainsAny(name, " \t") {
		return Field{}, fmt.Errorf("field line %q", line)
	}
	value = strings.TrimPrefix(value, " ")
	if strings.Trim(value, " \t") != value || strings.ContainsAny(value, "\r\n\x00") {
		return Field{}, fmt.Errorf("field line %q", line)
	}
	return Field{name, value}, nil
}
