package box

import "fmt"

// Finding is what was found out about one thing.
type Finding struct {
	ID       string   `json:"id"`                // of the check, constant: "net.core.somaxconn", "steal"
	Subject  string   `json:"subject,omitempty"` // what of several it is about: a volume, an upstream, a certificate
	Severity Severity `json:"severity"`
	Is       string   `json:"is"`     // what was found, with its unit
	Want     string   `json:"want"`   // what it should be for this configuration; the same as Is when it is
	Why      string   `json:"why"`    // why it should be so here, one or two sentences
	Cost     string   `json:"cost"`   // what it costs now, counted or measured on this box; empty when nothing was counted
	Remedy   string   `json:"remedy"` // a command or what to write where; empty when nothing need be done
}

// Severity is how much a finding matters. The order is that of the numbers.
type Severity uint8

const (
	Good    Severity = iota // as it should be
	Unknown                 // it could not be found out; Is says why
	Hint                    // it could be better; nothing is lost by leaving it
	Warning                 // it costs requests or time under load, or will
	Bad                     // it costs now, or it is a hole
)

var severities = [...]string{"good", "unknown", "hint", "warning", "bad"}

func (s Severity) String() string { return severities[s] }

// MarshalText writes the word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word.
func (s *Severity) UnmarshalText(text []byte) error {
	for i, word := range severities {
		if word == string(text) {
			*s = Severity(i)
			return nil
		}
	}
	return fmt.Errorf("found the severity %q; allowed are good, unknown, hint, warning, bad", text)
}
