package compile

import (
	"errors"
	"fmt"
	"testing"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
)

// counted is a policy that counts how often it is built and bound.
type counted struct {
	built, bound int
	fails        bool
}

func (c *counted) Bind(*policy.World) (any, error) {
	if c.bound++; c.fails {
		return nil, errors.New("the file is not there")
	}
	return running{}, nil
}

type running struct{}

func (running) Request(*exchange.Exchange) {}

// TestOnceForAllRoutes: a policy on every route is built once and, for each revision, bound once, whatever else the routes have. So its
// files are read once and what it warns of is told once.
func TestOnceForAllRoutes(t *testing.T) {
	for _, fails := range []bool{false, true} {
		every := &counted{fails: fails}
		kinds := []policy.Kind{
			{Name: "every", Options: struct{}{}, Build: func(policy.Options) (any, error) { every.built++; return every, nil }},
			{Name: "own", Options: struct{}{}, Build: func(policy.Options) (any, error) { return running{}, nil }},
		}
		text := "listeners: [{ address: ':8080' }]\nupstreams: { app: { endpoints: [127.0.0.1:3000] } }\npolicies: [ every: {} ]\nroutes:\n"
		for i := range 50 {
			text += fmt.Sprintf("  - { match: { path: /r%d }, upstream: app, policies: [ own: {} ] }\n", i)
		}
		c, err := config.Parse("straum.yaml", []byte(text), config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		out, err := Compile(c, kinds)
		if err != nil {
			t.Fatal(err)
		}
		for revision := 1; revision <= 2; revision++ {
			if _, err := out.Bind(&policy.World{}); (err != nil) != fails {
				t.Errorf("%v", err)
			}
			if every.built != 1 || every.bound != revision {
				t.Errorf("built %d times, bound %d times for %d revisions", every.built, every.bound, revision)
			}
		}
	}
}
