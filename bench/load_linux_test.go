package main

import (
	"runtime"
	"testing"
	"time"
)

// Every generator does its work on the target, and is booked with what it used.
func TestEveryGeneratorMakesLoad(t *testing.T) {
	if runtime.NumCPU() <= loadCore {
		t.Skip("two cores are needed")
	}
	o := options{gateways: gatewayNames(), scenarios: []string{"loadh1", "loadh2"}, rounds: 1, idle: 1, idleTLS: 1, tokens: 1, duration: time.Second}
	if err := check(o); err != nil {
		t.Skip(err)
	}
	g := groundOnFreePorts(t, t.TempDir(), o)
	defer g.close()
	buildForTest(t, g)
	for _, s := range scenarios() {
		if s.generators == nil {
			continue
		}
		measured, err := runScenario(t.Context(), g, s, o)
		if err != nil {
			t.Fatal(err)
		}
		ratio, ok := measured.Against("straum")
		if !ok || ratio.Rounds != 1 || ratio.Median <= 0 {
			t.Errorf("%s: straum load to the other: %+v", s.name, ratio)
		}
	}
}
