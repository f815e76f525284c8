package report

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// quiet is the share of a core below which others on it are not worth a word: a kernel's own work, and ticks of 10 ms.
const quiet = 0.03

// Markdown shows one scenario: a table of medians, and the subject's ratio to the better of the others if it ran.
func (s *Scenario) Markdown(subject string) string {
	var rows [][]string
	for _, gateway := range s.order {
		rows = append(rows, s.row(gateway))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n%s\n", s.Title, align(s.head(), rows))
	if ratio, ok := s.Against(subject); ok {
		fmt.Fprintf(&b, "%s to the better of the others, by %s: **%.2f** (%.2f to %.2f, rounds: %d)\n",
			subject, s.head()[1], ratio.Median, ratio.Min, ratio.Max, ratio.Rounds)
	}
	for _, name := range s.beside {
		if ratio, ok := s.against(subject, []string{name}); ok {
			fmt.Fprintf(&b, "\n%s to %s: **%.2f** (%.2f to %.2f)\n", subject, name, ratio.Median, ratio.Min, ratio.Max)
		}
	}
	if s.Note != "" {
		fmt.Fprintf(&b, "\n%s\n", s.Note)
	}
	if disturbed := s.disturbed(); disturbed >= quiet {
		whose := "gateway"
		if s.Kind == Generators {
			whose = "load"
		}
		fmt.Fprintf(&b, "\nOthers had up to %.0f %% of the %s's core in a round: read these figures with care.\n", 100*disturbed, whose)
	}
	return b.String()
}

func (s *Scenario) disturbed() float64 {
	most := 0.0
	for gateway := range s.samples {
		most = max(most, s.summary(gateway).Disturbed)
	}
	return most
}

func (s *Scenario) head() []string {
	switch s.Kind {
	case Bulk:
		return []string{"gateway", "CPU ms/GiB", "user", "system", "MiB/s", "errors", "peak RSS MiB"}
	case Idle:
		return []string{"gateway", "RSS KiB/connection", "RSS growth MiB", "errors", "peak RSS MiB"}
	case Handshakes:
		return []string{"gateway", "CPU µs/handshake", "user", "system", "handshakes a core second", "resumed", "core in use", "p50", "p99", "errors", "peak RSS MiB"}
	case Cached:
		return []string{"gateway", "CPU µs/request", "user", "system", "hits", "requests/s", "p50", "p99", "errors", "peak RSS MiB"}
	case Herd:
		return []string{"gateway", "CPU µs/request", "user", "system", "endpoint asked", "all answered after", "errors", "peak RSS MiB"}
	case Generators:
		return []string{"load", "CPU µs/request", "user", "system", "requests/s", "p50", "p99", "errors"}
	case Latency:
		return []string{"gateway", "p99 ms", "p50", "requests/s", "errors", "peak RSS MiB"}
	default:
		return []string{"gateway", "CPU µs/request", "user", "system", "requests/s", "p50", "p99", "errors", "peak RSS MiB"}
	}
}

func (s *Scenario) row(gateway string) []string {
	sum := s.summary(gateway)
	errors, peak := fmt.Sprint(sum.Errors), mebibytes(sum.PeakRSS)
	switch s.Kind {
	case Bulk:
		return []string{gateway, fmt.Sprintf("%.0f", s.medianCost(gateway)), fmt.Sprintf("%.0f", sum.User),
			fmt.Sprintf("%.0f", sum.System), fmt.Sprintf("%.0f", sum.Rate), errors, peak}
	case Idle:
		return []string{gateway, fmt.Sprintf("%.2f", sum.PerConnection/1024), mebibytes(sum.Growth), errors, peak}
	case Handshakes:
		return []string{gateway, fmt.Sprintf("%.1f", s.medianCost(gateway)), fmt.Sprintf("%.1f", sum.User),
			fmt.Sprintf("%.1f", sum.System), fmt.Sprintf("%.0f", 1e6/s.medianCost(gateway)), percent(sum.Resumed), percent(sum.Used),
			milliseconds(sum.P50), milliseconds(sum.P99), errors, peak}
	case Cached:
		return []string{gateway, fmt.Sprintf("%.1f", s.medianCost(gateway)), fmt.Sprintf("%.1f", sum.User),
			fmt.Sprintf("%.1f", sum.System), fmt.Sprintf("%.1f %%", 100*sum.Kept), fmt.Sprintf("%.0f", sum.Rate), milliseconds(sum.P50), milliseconds(sum.P99),
			errors, peak}
	case Herd:
		return []string{gateway, fmt.Sprintf("%.1f", s.medianCost(gateway)), fmt.Sprintf("%.1f", sum.User),
			fmt.Sprintf("%.1f", sum.System), fmt.Sprintf("%.0f", sum.Asked), milliseconds(sum.P99), errors, peak}
	case Generators:
		return []string{gateway, fmt.Sprintf("%.1f", s.medianCost(gateway)), fmt.Sprintf("%.1f", sum.User), fmt.Sprintf("%.1f", sum.System), fmt.Sprintf("%.0f", sum.Rate),
			milliseconds(sum.P50), milliseconds(sum.P99), errors}
	case Latency:
		return []string{gateway, fmt.Sprintf("%.2f", s.medianCost(gateway)), milliseconds(sum.P50), fmt.Sprintf("%.0f", sum.Rate), errors, peak}
	default:
		return []string{gateway, fmt.Sprintf("%.1f", s.medianCost(gateway)), fmt.Sprintf("%.1f", sum.User),
			fmt.Sprintf("%.1f", sum.System), fmt.Sprintf("%.0f", sum.Rate), milliseconds(sum.P50), milliseconds(sum.P99),
			errors, peak}
	}
}

func mebibytes(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/(1<<20)) }

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

// milliseconds shows nothing for a latency that was not measured.
func milliseconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// align writes a Markdown table that a terminal shows straight: first column left, figures right.
func align(head []string, rows [][]string) string {
	widths := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	line := func(row []string) {
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString("| " + cell + space + " |")
			} else {
				b.WriteString(" " + space + cell + " |")
			}
		}
		b.WriteByte('\n')
	}
	line(head)
	for i, width := range widths {
		if i == 0 {
			b.WriteString("|" + strings.Repeat("-", width+2) + "|")
		} else {
			b.WriteString(strings.Repeat("-", width+1) + ":|")
		}
	}
	b.WriteByte('\n')
	for _, row := range rows {
		line(row)
	}
	return b.String()
}
