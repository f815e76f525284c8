package compile

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"straum.dev/straum/internal/ban"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/document"
)

// compileBans compiles bans as they are written.
func compileBans(t *testing.T, text string) (Bans, error) {
	t.Helper()
	d, err := document.Parse("straum.yaml", []byte(text), document.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	var b config.Bans
	if err := d.Root().Decode(&b); err != nil {
		return Bans{}, err
	}
	var k compiler
	out := k.bans(&b, &config.AccessLog{Addresses: "full"})
	return out, k.problems.Err()
}

// The engine takes what is compiled, and refuses nothing that was taken here.
func TestBans(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		s, err := compileBans(t, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			return
		}
		e := ban.New(ban.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
		defer e.Close()
		if err := e.Use(s.Settings); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := fmt.Sprintf("%+v", s); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", text, got, want)
		}
	}
	f("{}", "{Settings:{On:true DryRun:false Scores:[10 1 1 5 2 20] Threshold:100 HalfLife:5m0s First:10m0s Longest:24h0m0s Ladder:[refuse drop kernel] "+
		"Remember:720h0m0s Hosts:8 Wide4:[] Wide6:[56 48] Consumers:3 Window:1h0m0s Never:[] Addresses:1} Kernel:false}")
	f("{dry_run: true, signals: {auth_failed: 1, limited: 2, not_found: 3, malformed: 4, handshake: 5, suspect: 0}, threshold: 1, half_life: 24h, first: 1s, longest: 1s, "+
		"ladder: drop, never: [203.0.113.0/24, 192.0.2.1, '2001:db8::/32'], kernel: true, widen: {hosts: 0, v6: [63, 16], v4: [31, 8]}, spare: {consumers: 8, within: 1m}, remember: 0}",
		"{Settings:{On:true DryRun:true Scores:[1 2 3 4 5 0] Threshold:1 HalfLife:24h0m0s First:1s Longest:1s Ladder:[drop] Remember:0s Hosts:0 Wide4:[31 8] Wide6:[63 16] "+
			"Consumers:8 Window:1m0s Never:[203.0.113.0/24 192.0.2.1/32 2001:db8::/32] Addresses:1} Kernel:true}")
	var k compiler
	if s := k.bans(nil, &config.AccessLog{}); s.On {
		t.Errorf("%+v", s)
	}
}

func TestBansRefused(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if s, err := compileBans(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it; %+v", text, err, want, s)
		}
	}
	f("{first: 2h, longest: 1h}", "straum.yaml:1:22: longest: found 1h, which is less than first, 2h; make longest 2h or more")
	f("{widen: {v6: [48, 56]}}", "widen.v6: found 56 after 48")
	f("{widen: {v4: [24, 24]}}", "widen.v4: found 24 after 24")
	f("{widen: {v4: [32]}}", "widen.v4[0]")
	f("{widen: {v6: [64]}}", "widen.v6[0]")
	f("{widen: {hosts: 1}}", "hosts")
	f("{ladder: []}", "ladder")
	f("{ladder: [refuse, slow]}", "slow")
	f("{threshold: 0}", "threshold")
	f("{half_life: 0}", "half_life")
	f("{signals: {limited: -1}}", "limited")
	f("{spare: {consumers: 9}}", "consumers")
	f("{never: [203.0.113.7/24]}", "bits set behind the slash")
}
