package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func threeRounds() *Scenario {
	s := &Scenario{Name: "json", Title: "Small JSON", Kind: Requests}
	for _, round := range [][3]float64{{20, 10, 9}, {20, 30, 10}, {40, 20, 22}} {
		for i, gateway := range []string{"nginx", "haproxy", "straum"} {
			s.Add(gateway, Sample{User: round[i] / 2, System: round[i] / 2, Rate: 1000, P50: time.Millisecond, P99: 2 * time.Millisecond, Errors: 1, PeakRSS: 3 << 20})
		}
	}
	return s
}

// The better peer changes from round to round: 9/10, 10/20, 22/20.
func TestRatioTakesTheBetterPeerOfEachRound(t *testing.T) {
	ratio, ok := threeRounds().Against("straum")
	if want := (Ratio{Median: 0.9, Min: 0.5, Max: 1.1, Rounds: 3}); !ok || ratio != want {
		t.Fatalf("Against = %+v, %v; want %+v", ratio, ok, want)
	}
}

// What stands beside the gateways has a ratio of its own (9/5, 10/5, 22/5) and leaves theirs alone.
func TestRowBesideTheOthersIsComparedByItself(t *testing.T) {
	s := threeRounds()
	s.Beside("nginx, tuned")
	for range 3 {
		s.Add("nginx, tuned", Sample{User: 5})
	}
	got := s.Markdown("straum")
	for _, want := range []string{"| nginx, tuned |", "by CPU µs/request: **0.90** (0.50 to 1.10, rounds: 3)\n\nstraum to nginx, tuned: **2.00** (1.80 to 4.40)\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	absent := threeRounds()
	absent.Beside("nginx, tuned")
	if strings.Contains(absent.Markdown("straum"), "tuned") {
		t.Error("a row that did not run must not be spoken of")
	}
}

func TestNothingToCompareIsSaid(t *testing.T) {
	if _, ok := threeRounds().Against("envoy"); ok {
		t.Error("a gateway that did not run must have no ratio")
	}
	alone := &Scenario{}
	alone.Add("straum", Sample{User: 1})
	if _, ok := alone.Against("straum"); ok {
		t.Error("a gateway that ran alone must have no ratio")
	}
}

func TestMarkdown(t *testing.T) {
	want := `### Small JSON

| gateway | CPU µs/request | user | system | requests/s |     p50 |     p99 | errors | peak RSS MiB |
|---------|---------------:|-----:|-------:|-----------:|--------:|--------:|-------:|-------------:|
| nginx   |           20.0 | 10.0 |   10.0 |       1000 | 1.00 ms | 2.00 ms |      3 |          3.0 |
| haproxy |           20.0 | 10.0 |   10.0 |       1000 | 1.00 ms | 2.00 ms |      3 |          3.0 |
| straum  |           10.0 |  5.0 |    5.0 |       1000 | 1.00 ms | 2.00 ms |      3 |          3.0 |

straum to the better of the others, by CPU µs/request: **0.90** (0.50 to 1.10, rounds: 3)
`
	if got := threeRounds().Markdown("straum"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestHandshakesShowWhatACoreDoes(t *testing.T) {
	s := &Scenario{Title: "Resumed", Kind: Handshakes, Note: "All the same."}
	for gateway, cost := range map[string]float64{"nginx": 250, "straum": 200} {
		s.Add(gateway, Sample{User: cost - 50, System: 50, Resumed: 1, Used: 0.96, P50: time.Millisecond})
	}
	got := s.Markdown("straum")
	for _, want := range []string{"| straum  |            200.0 | 150.0 |   50.0 |                     5000 |   100 % |        96 % | 1.00 ms |   - |", "**0.80**", "\n\nAll the same.\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestGeneratorsHaveTheirOwnTable(t *testing.T) {
	s := &Scenario{Title: "Generators", Kind: Generators}
	s.Add("straum", Sample{User: 1, System: 3, Rate: 1000, P50: time.Millisecond, Disturbed: 0.5})
	s.Add("wrk", Sample{User: 2, System: 3, Rate: 1000})
	got := s.Markdown("straum")
	for _, want := range []string{
		"| load   | CPU µs/request | user | system | requests/s |     p50 | p99 | errors |\n", "| straum |            4.0 |  1.0 |    3.0 |       1000 | 1.00 ms |   - |      0 |",
		"**0.80**", "50 % of the load's core",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestDisturbanceIsShown(t *testing.T) {
	s := threeRounds()
	s.Add("straum", Sample{Disturbed: 0.07})
	if got := s.Markdown("straum"); !strings.Contains(got, "up to 7 % of the gateway's core") {
		t.Errorf("no word of the disturbance in\n%s", got)
	}
}

func TestWhatIsKeptByHandOutlivesEveryRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "RESULTS.md")
	write := func(text string) {
		t.Helper()
		if err := Write(file, text); err != nil {
			t.Fatal(err)
		}
	}
	write("# One\n")
	read := func() string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(read(), "Nothing noted yet.", "Uploads.", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	write("# Two\n\n")
	want := "# Two\n\n" + keepBegin + "\n## What falls short\n\nUploads.\n" + keepEnd + "\n"
	if got := read(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFileWithDamagedMarksIsLeftAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "RESULTS.md")
	damaged := "# One\n" + keepBegin + "\nsomething\n"
	if err := os.WriteFile(file, []byte(damaged), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(file, "# Two\n"); err == nil {
		t.Error("want an error")
	}
	if text, _ := os.ReadFile(file); string(text) != damaged {
		t.Errorf("the file was changed to %q", text)
	}
}
