package authenticate

import (
	"strings"
	"testing"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
)

// word is a method that takes one word in a field of its own.
type word struct{ field, word, consumer string }

func (m word) Authenticate(x *exchange.Exchange) policy.Finding {
	switch shown, _ := x.Request.Header.Header(m.field); shown {
	case "":
		return policy.Nothing
	case m.word:
		x.Caller = exchange.Caller{Consumer: &consumer.Consumer{ID: m.consumer, Name: m.consumer}, Subject: "s"}
		return policy.Accepted
	}
	return policy.Refused
}

func (m word) Challenge(x *exchange.Exchange, _ policy.Finding) {
	x.Challenges = append(x.Challenges, m.field)
}

func (m word) Hide(x *exchange.Exchange, _ policy.Finding) { x.Request.Header.DelHeader(m.field) }

func kind(name string, m word) policy.Kind {
	return policy.Kind{Name: name, Build: func(policy.Options) (any, error) { return m, nil }}
}

func world(t *testing.T) *policytest.World {
	t.Helper()
	b := consumer.NewBuilder()
	for _, id := range []string{"a", "b", "visitors"} {
		if err := b.Consumer(consumer.Consumer{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	w := policytest.New(t)
	w.Consumers = b.Build()
	return w
}

func TestTerms(t *testing.T) {
	f := func(options, fields, wantFault, wantFields string) {
		t.Helper()
		r := world(t).Policies(policytest.Use{Kind: Kind, YAML: options},
			policytest.Use{Kind: kind("first", word{"X-One", "1", "a"}), YAML: "{}"}, policytest.Use{Kind: kind("second", word{"X-Two", "2", "a"}), YAML: "{}"})
		x := r.Ask("GET / HTTP/1.1\nHost: a\n" + fields + "\n")
		got := ""
		if x.Fault != nil {
			got = x.Fault.Kind.Word
		}
		var sent []string
		for _, field := range x.Request.Header.All() {
			if field.Known != exchange.Host {
				sent = append(sent, field.Name+": "+field.Value)
			}
		}
		if got != wantFault || x.Fault == nil && strings.Join(sent, ", ") != wantFields {
			t.Errorf("%s with %q: %q %q, want %q %q", options, fields, got, sent, wantFault, wantFields)
		}
		if x.Fault != nil && strings.Join(x.Challenges, " ") != "X-One X-Two" {
			t.Errorf("%s with %q: challenges %q", options, fields, x.Challenges)
		}
	}
	no := fault.NotAuthenticated.Word
	const told = "X-Consumer-Id: a, X-Consumer-Name: a, X-Auth-Method: first, X-Auth-Subject: s"
	f(`{}`, "", no, "")
	f(`{}`, "X-One: 1\n", "", told)
	f(`{}`, "X-One: 1\nX-Two: 2\n", "", told)
	f(`{}`, "X-Two: 2\n", "", strings.Replace(told, "first", "second", 1))
	f(`{}`, "X-Two: 3\n", no, "")
	f(`{require: any}`, "X-One: 1\n", "", told)
	f(`{require: all}`, "X-One: 1\n", no, "")
	f(`{require: all}`, "X-One: 1\nX-Two: 3\n", no, "")
	f(`{require: all}`, "X-One: 1\nX-Two: 2\n", "", told)
	f(`{identity: forward}`, "X-One: 1\n", "", told)
	f(`{identity: hide}`, "X-One: 1\n", "", "")
	f(`{anonymous: visitors}`, "", "", "X-Consumer-Id: visitors, X-Consumer-Name: visitors, X-Anonymous-Consumer: true")
	f(`{anonymous: visitors}`, "X-One: 2\n", no, "")
	f(`{anonymous: visitors, require: all}`, "X-One: 1\n", no, "")
	f(`{anonymous: visitors, require: all}`, "", "", "X-Consumer-Id: visitors, X-Consumer-Name: visitors, X-Anonymous-Consumer: true")
	f(`{anonymous: visitors, identity: hide}`, "", "", "")
}

func TestRefused(t *testing.T) {
	f := func(options, want string) {
		t.Helper()
		if got := world(t).Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", options, got, want)
		}
	}
	f(`{anonymous: nobody}`, `test.yaml:1:13: anonymous: there is no consumer "nobody"; add it under consumers`)
	f(`{require: both}`, `require: found "both"; allowed: any, all`)
	f(`{require: false}`, `require`)
	f(`{identity: show}`, `identity: found "show"; allowed: forward, hide`)
	f(`{anonymus: a}`, `did you mean "anonymous"?`)
}
