package document

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// hidden is what stands where a secret would.
const hidden = "***"

// Secret is a string that is never printed: not by fmt with any verb, not in JSON, YAML or a log line, not in
// problems or their excerpts. It is written in the document as itself, as ${VARIABLE}, or as file:/path, whose
// content is read once and loses one trailing line break.
//
// The value sits behind a pointer, so that even formatting a struct that holds a Secret in an unexported
// field, where fmt calls no methods, shows an address at most.
type Secret struct{ value *string }

// NewSecret wraps a value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal returns the value, for the one place that needs it. Do not keep or print it.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero says that no secret is set.
func (s Secret) IsZero() bool { return s.value == nil }

// Equal compares the values in time that does not depend on where they differ.
func (s Secret) Equal(other Secret) bool {
	return s.IsZero() == other.IsZero() && subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String is "***", or empty when no secret is set.
func (s Secret) String() string {
	if s.value == nil {
		return ""
	}
	return hidden
}

func (s Secret) GoString() string             { return s.String() }
func (s Secret) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(s.String())) }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(s.String()) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }
func (s Secret) MarshalYAML() (any, error)    { return s.String(), nil }
