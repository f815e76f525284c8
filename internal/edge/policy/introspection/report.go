package introspection

import (
	"fmt"

	"straum.dev/straum/internal/edge/policy"
)

// Report implements policy.Reporter.
func (s *source) Report(figure func(policy.Figure)) {
	f := s.Figures()
	at := [][2]string{{"endpoint", f.Place}, {"client_id", s.clientID}}
	with := func(name, value string) [][2]string { return append(at[:2:2], [2]string{name, value}) }
	for _, question := range []struct {
		outcome string
		n       uint64
	}{{"active", f.Active}, {"inactive", f.Inactive}, {"odd", f.Odd}, {"misconfigured", f.Refused}, {"failed", f.Failed},
		{"skipped", f.Rested}, {"busy", f.Busy}} {
		figure(policy.Figure{Name: "introspection_questions_total", Help: "Tokens that an introspection endpoint was to be asked about, by outcome.",
			Counter: true, Labels: with("outcome", question.outcome), Value: float64(question.n)})
	}
	for _, shared := range []struct {
		outcome string
		n       uint64
	}{{"found", f.Shared}, {"failed", f.Unshared}, {"forged", f.Forged}} {
		figure(policy.Figure{Name: "introspection_shared_total", Help: "Answers looked for in Redis: found, not to be had, or not sealed by a gateway with our secret.",
			Counter: true, Labels: with("outcome", shared.outcome), Value: float64(shared.n)})
	}
	figure(policy.Figure{Name: "introspection_stale_total", Help: "Answers used after their time because the endpoint could not be asked.", Counter: true, Labels: at, Value: float64(f.Stale)})
	figure(policy.Figure{Name: "introspection_floods_total", Help: "Tokens refused unasked because their address had shown too many bad ones.", Counter: true, Labels: at, Value: float64(f.Floods)})
	figure(policy.Figure{Name: "introspection_remembered", Help: "Answers remembered, by what they say.", Labels: with("active", "true"), Value: float64(f.Good)})
	figure(policy.Figure{Name: "introspection_remembered", Help: "Answers remembered, by what they say.", Labels: with("active", "false"), Value: float64(f.Bad)})
	figure(policy.Figure{Name: "introspection_asking", Help: "Questions under way.", Labels: at, Value: float64(f.Asking)})
	figure(policy.Figure{Name: "introspection_resting", Help: "1 while an endpoint that failed is left alone.", Labels: at, Value: truth(f.Resting)})
	figure(policy.Figure{Name: "introspection_misconfigured", Help: "1 while the endpoint refuses the gateway's own credential.", Labels: at, Value: truth(f.Broken)})
}

// Attention implements policy.Attentive.
func (s *source) Attention() []string {
	switch f := s.Figures(); {
	case f.Broken && s.clientID != "":
		return []string{fmt.Sprintf("the introspection endpoint %s refuses the gateway as client %q: check client_id, client_secret and auth; tokens that are not remembered get 503", f.Place, s.clientID)}
	case f.Broken:
		return []string{fmt.Sprintf("the introspection endpoint %s refuses the gateway: check token and auth; tokens that are not remembered get 503", f.Place)}
	case f.Resting:
		return []string{fmt.Sprintf("the introspection endpoint %s does not answer, or not as RFC 7662 says: tokens that are not remembered get 503 until it does", f.Place)}
	}
	return nil
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
