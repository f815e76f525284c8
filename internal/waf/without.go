//go:build !waf

package waf

// Built says whether this program has the engine.
const Built = false

// Engine judges requests. There is none in this program.
type Engine struct{}

// New fails, once the operator's own rules were read.
func New(s Settings) (*Engine, error) {
	if _, err := splitRules(s.RulesName, s.Rules); err != nil {
		return nil, err
	}
	return nil, ErrNotBuilt
}

// Close does nothing.
func (*Engine) Close() {}

// Begin cannot be called, as there is no Engine.
func (*Engine) Begin(Head) *Inspection { panic("BUG: waf: " + ErrNotBuilt.Error()) }

// Inspection is one request on its way through the rules.
type Inspection struct{}

// Field does nothing.
func (*Inspection) Field(string, string) {}

// Head does nothing.
func (*Inspection) Head() bool { return false }

// Content does nothing.
func (*Inspection) Content([]byte) {}

// End does nothing.
func (*Inspection) End() Verdict { return Verdict{} }
