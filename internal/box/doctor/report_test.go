package doctor

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"straum.dev/straum/internal/box"
)

var someChecks = []Check{{ID: "b1", Group: "beta"}, {ID: "a1", Group: "alpha"}, {ID: "b2", Group: "beta"}, {ID: "b3", Group: "beta"}}

var someFindings = []box.Finding{
	{ID: "b1", Subject: "log", Severity: box.Good, Is: "fine", Want: "fine", Why: "because"},
	{ID: "b1", Subject: "state", Severity: box.Good, Is: "fine", Want: "fine"},
	{ID: "a1", Severity: box.Unknown, Is: "cannot be seen", Want: "-"},
	{ID: "b2", Severity: box.Hint, Is: "1", Want: "2", Why: "it could be", Remedy: "set it"},
	{ID: "b3", Severity: box.Bad, Is: "3", Want: "4", Why: "it burns", Cost: "9 requests", Remedy: "put it out"},
}

func written(t *testing.T, found []box.Finding, s Style) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteText(&b, someChecks, found, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTextIsByGroupWithTheWorstFirst(t *testing.T) {
	want := `BETA
  bad      b3: 3 → 4
           why   it burns
           cost  9 requests
           mend  put it out
  hint     b2: 1 → 2
           why   it could be
           mend  set it
  good     b1 (log, state)

ALPHA
  unknown  a1: cannot be seen

1 bad: b3; 1 hint; 1 unknown; 2 good
`
	if got := written(t, someFindings, Style{}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	all := written(t, someFindings, Style{All: true})
	if !strings.Contains(all, "  good     b1 (log): fine\n           why   because\n") {
		t.Errorf("--all does not tell of what is good:\n%s", all)
	}
	if got := written(t, nil, Style{}); got != "nothing was looked at\n" {
		t.Errorf("got %q for nothing", got)
	}
}

// TestTextTellsOneReasonOnce puts what could not be found out for the same reason on one line.
func TestTextTellsOneReasonOnce(t *testing.T) {
	found := []box.Finding{
		{ID: "b1", Subject: "log", Severity: box.Unknown, Is: "not there", Why: "x"}, {ID: "b2", Severity: box.Unknown, Is: "denied", Remedy: "sudo"},
		{ID: "b1", Subject: "state", Severity: box.Unknown, Is: "not there", Why: "y"}, {ID: "b3", Severity: box.Unknown, Is: "not there"},
	}
	want := "BETA\n  unknown  b1 (log, state), b3: not there\n  unknown  b2: denied\n           mend  sudo\n\n4 unknown\n"
	if got := written(t, found, Style{}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTextStaysWithinTheTerminal(t *testing.T) {
	found := []box.Finding{{ID: "b1", Severity: box.Bad, Is: strings.Repeat("wörter ", 60), Want: "kürzer", Why: strings.Repeat("weil ", 90), Remedy: strings.Repeat("x", 200)}}
	for _, width := range []int{0, 10, 40, 77} {
		for line := range strings.Lines(written(t, found, Style{Width: width})) {
			limit := max(width, leastWidth)
			if width == 0 {
				limit = usualWidth
			}
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > limit && !strings.Contains(line, "xxx") {
				t.Errorf("width %d: a line has %d columns: %s", width, n, line)
			}
		}
	}
}

// TestTextKeepsTerminalsFromObeying has what a file says be no more than text.
func TestTextKeepsTerminalsFromObeying(t *testing.T) {
	found := []box.Finding{{ID: "b1", Subject: "a\x1b[2J\nb", Severity: box.Bad, Is: "\x1b]0;x\a", Want: "w\u009b1m", Why: "y\r", Remedy: "z\x00"}}
	got := written(t, found, Style{})
	if strings.ContainsAny(got, "\x1b\a\r\x00\u009b") {
		t.Errorf("got %q", got)
	}
	coloured := written(t, someFindings, Style{Colour: true})
	if !strings.Contains(coloured, "\x1b[1;31mbad      \x1b[0mb3: 3 → 4") {
		t.Errorf("got %q", coloured)
	}
	plain := strings.NewReplacer("\x1b[1;31m", "", "\x1b[32m", "", "\x1b[36m", "", "\x1b[35m", "", "\x1b[33m", "", "\x1b[0m", "").Replace(coloured)
	if plain != written(t, someFindings, Style{}) {
		t.Errorf("without its colours it is another text:\n%s", plain)
	}
}

// TestJSONHasAllThatWasPromised reads the lines back.
func TestJSONHasAllThatWasPromised(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, someChecks, someFindings, noon); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != len(someFindings) {
		t.Fatalf("%d lines for %d findings", len(lines), len(someFindings))
	}
	for i, text := range lines {
		var keys map[string]string
		if err := json.Unmarshal([]byte(text), &keys); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"at", "group", "id", "severity", "is", "want", "why", "cost", "remedy"} {
			if _, ok := keys[key]; !ok {
				t.Errorf("%s has no %s", text, key)
			}
		}
		var back line
		if err := json.Unmarshal([]byte(text), &back); err != nil {
			t.Fatal(err)
		}
		if back.Finding != someFindings[i] || !back.At.Equal(noon) {
			t.Errorf("got %+v, want %+v", back, someFindings[i])
		}
	}
	b.Reset()
	if err := WriteJSON(&b, someChecks, []box.Finding{{ID: "a1", Is: "1 < 2 & 3"}}, noon); err != nil || !strings.Contains(b.String(), `"1 < 2 & 3"`) {
		t.Errorf("%v: %s", err, b.String())
	}
	b.Reset()
	if err := WriteJSON(&b, someChecks, someFindings[:1], time.Time{}); err != nil || strings.Contains(b.String(), `"at"`) {
		t.Errorf("%v: %s", err, b.String())
	}
}

func TestChangesAreOfWhatMatters(t *testing.T) {
	f := func(id, subject string, s box.Severity, is string) box.Finding {
		return box.Finding{ID: id, Subject: subject, Severity: s, Is: is}
	}
	before := []box.Finding{f("b1", "log", box.Good, "1 ms"), f("b2", "", box.Bad, "full"), f("b3", "", box.Hint, "so so")}
	after := []box.Finding{f("b1", "log", box.Good, "2 ms"), f("b1", "state", box.Warning, "90 ms"), f("b2", "", box.Good, "room")}
	all := Changes(before, after)
	var b bytes.Buffer
	if err := WriteChanges(&b, all, noon); err != nil {
		t.Fatal(err)
	}
	want := []string{"12:00:00 b1 (state): warning: 90 ms", "12:00:00 b2: bad → good: room", "12:00:00 b3: hint → gone", ""}
	if got := strings.Split(b.String(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if more := Changes(after, after); more != nil {
		t.Errorf("the same is said to be another: %+v", more)
	}
}
