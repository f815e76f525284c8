package metrics

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"straum.dev/straum/internal/consumer"
)

// lines are those of the page that begin with a name.
func lines(t *testing.T, m *Metrics, name string) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(exposed(t, m)) {
		if strings.HasPrefix(line, "straum_"+name) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

func TestConsumersAreBounded(t *testing.T) {
	m := New(Options{Shards: 2})
	const all = MaxConsumers + 500
	id := make([]byte, 0, 16)
	for round := range 2 {
		for i := range all {
			x := ordinary(m)
			x.Conn.Shard = round
			id = fmt.Appendf(id[:0], "c%d", i)
			x.Caller.Consumer = &consumer.Consumer{ID: string(id)}
			m.Observe(x)
		}
	}
	got := lines(t, m, "consumer_requests_total")
	if len(got) != MaxConsumers {
		t.Errorf("%d series, want %d", len(got), MaxConsumers)
	}
	want := map[string]bool{`straum_consumer_requests_total{class="2xx",consumer="c0"} 2`: true, `straum_consumer_requests_total{class="2xx",consumer="other"} 1002`: true}
	for _, line := range got {
		delete(want, line)
	}
	if len(want) > 0 {
		t.Errorf("not among them: %v", want)
	}
}

// A consumer may be called other, and names may become the same once they are labels.
func TestSameLabels(t *testing.T) {
	m := New(Options{})
	for _, id := range []string{"other", "a\xff", "a\xfe"} {
		x := ordinary(m)
		x.Caller.Consumer = &consumer.Consumer{ID: id}
		x.Judge(id, id)
		m.Observe(x)
	}
	if got := append(lines(t, m, "consumer_"), lines(t, m, "policy_")...); len(got) != 4 {
		t.Error(got)
	}
}

func TestVerdictsAreBounded(t *testing.T) {
	m := New(Options{Shards: 2})
	for i := range MaxVerdicts + 100 {
		x := ordinary(m)
		word := []byte(fmt.Sprint("w", i))
		x.Judge("p", string(word))
		m.Observe(x)
	}
	got := lines(t, m, "policy_verdicts_total")
	if len(got) != MaxVerdicts || got[0] != `straum_policy_verdicts_total{policy="other",verdict="other"} 101` {
		t.Errorf("%d series, want %d; the first is %s", len(got), MaxVerdicts, got[0])
	}
}

// A view that dies with its exchange is not what is kept.
func TestCallersAreCopied(t *testing.T) {
	m := New(Options{})
	buffer := []byte("acme accepted")
	text := unsafe.String(&buffer[0], len(buffer))
	x := ordinary(m)
	x.Caller.Consumer = &consumer.Consumer{ID: text[:4]}
	x.Judge("jwt", text[5:])
	m.Observe(x)
	copy(buffer, "xxxxxxxxxxxxx")
	if got := strings.Join(append(lines(t, m, "consumer_"), lines(t, m, "policy_")...), "\n"); strings.Contains(got, "xxx") || !strings.Contains(got, "acme") {
		t.Error(got)
	}
}

// TestCallersConcurrent counts new consumers and verdicts from all sides; none may be lost or counted under another.
func TestCallersConcurrent(t *testing.T) {
	m := New(Options{Shards: 2})
	const goroutines, consumers = 4, 50
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := range consumers {
				x := ordinary(m)
				x.Conn.Shard = g
				x.Caller.Consumer = &consumer.Consumer{ID: fmt.Sprint("c", i)}
				x.Judge("p", fmt.Sprint("w", i))
				m.Observe(x)
			}
		})
	}
	all.Wait()
	for i := range consumers {
		for _, want := range []string{
			fmt.Sprintf(`straum_consumer_requests_total{class="2xx",consumer="c%d"} %d`, i, goroutines),
			fmt.Sprintf(`straum_policy_verdicts_total{policy="p",verdict="w%d"} %d`, i, goroutines),
		} {
			if !strings.Contains(exposed(t, m), want+"\n") {
				t.Fatalf("%s is missing", want)
			}
		}
	}
}

func TestFigures(t *testing.T) {
	f := func(want string, wantDropped int, figures ...Figure) {
		t.Helper()
		m := New(Options{})
		m.Show(Sources{Figures: func(yield func(Figure)) {
			for _, figure := range figures {
				figure.Help = "h"
				yield(figure)
			}
		}})
		got := strings.Join(lines(t, m, "policy_"), "; ")
		if got = strings.ReplaceAll(got, "straum_policy_", ""); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got, want := lines(t, m, "metrics_figures_dropped")[0], fmt.Sprint("straum_metrics_figures_dropped ", wantDropped); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	of := func(labels ...string) (out [][2]string) {
		for i := 0; i < len(labels); i += 2 {
			out = append(out, [2]string{labels[i], labels[i+1]})
		}
		return out
	}
	f("", 0)
	f("a 1", 0, Figure{Name: "a", Value: 1})
	f("a 3.5", 0, Figure{Name: "a", Value: 1}, Figure{Name: "a", Value: 2.5})
	f(`a{x="1"} 4; a{x="2"} 2`, 0, Figure{Name: "a", Labels: of("x", "1"), Value: 1}, Figure{Name: "a", Labels: of("x", "2"), Value: 2}, Figure{Name: "a", Labels: of("x", "1"), Value: 3})
	f(`a{x="1",y="2"} 1; a{x="12",y=""} 1`, 0, Figure{Name: "a", Labels: of("x", "1", "y", "2"), Value: 1}, Figure{Name: "a", Labels: of("x", "12", "y", ""), Value: 1})
	// Two values that become one once they are valid UTF-8.
	f("a{x=\"\ufffd\"} 3", 0, Figure{Name: "a", Labels: of("x", "\xfe"), Value: 1}, Figure{Name: "a", Labels: of("x", "\xfd"), Value: 2})
	// What does not go together is left out, and the rest stays.
	f("a 1", 1, Figure{Name: "a", Value: 1}, Figure{Name: "a", Counter: true, Value: 2})
	f("a 1", 1, Figure{Name: "a", Value: 1}, Figure{Name: "a", Labels: of("x", "1"), Value: 2})
	f("b 1", 5, Figure{Name: ""}, Figure{Name: "A"}, Figure{Name: "a b"}, Figure{Name: "verdicts_total"}, Figure{Name: "a", Labels: of("x", "1", "x", "2")}, Figure{Name: "b", Value: 1})

	var many []Figure
	for i := range MaxFigures + 7 {
		many = append(many, Figure{Name: "a", Labels: of("x", fmt.Sprintf("%04d", i)), Value: 1})
	}
	m := New(Options{})
	m.Show(Sources{Figures: func(yield func(Figure)) {
		for _, figure := range many {
			yield(figure)
		}
	}})
	if n, lost := len(lines(t, m, "policy_a")), lines(t, m, "metrics_figures_dropped")[0]; n != MaxFigures || lost != "straum_metrics_figures_dropped 7" {
		t.Errorf("%d series, %s", n, lost)
	}
}
