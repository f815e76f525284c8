package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// wellFormed reads a text as XML to its end, and gives the names of its elements. Coordinates have to be numbers.
func wellFormed(t testing.TB, text []byte) map[string]int {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(text))
	names := map[string]int{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatalf("no XML: %v\n%.2000s", err, text)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		names[e.Name.Local]++
		for _, a := range e.Attr {
			switch a.Name.Local {
			case "x", "y", "cx", "cy", "width", "height":
				if v, err := strconv.ParseFloat(a.Value, 64); err != nil || math.IsNaN(v) || math.Abs(v) > 1e5 {
					t.Fatalf("<%s %s=%q>", e.Name.Local, a.Name.Local, a.Value)
				}
			case "d":
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Fatalf("a path without place: %.200s", a.Value)
				}
			case "style", "href", "src", "onload", "onclick":
				t.Fatalf("<%s %s>", e.Name.Local, a.Name.Local)
			}
		}
	}
}

// numbers are what plots may be made of, the usual and the worst.
func numbers() *rapid.Generator[float64] {
	return rapid.OneOf(rapid.Float64Range(0, 1000), rapid.Float64(), rapid.SampledFrom([]float64{0, -1, 1, 100, 99.9, 99.99999999999, 1e15, -1e15, 1e300, math.MaxFloat64, -math.MaxFloat64,
		math.SmallestNonzeroFloat64, 1e-15, 1e-16, math.NaN(), math.Inf(1), math.Inf(-1)}))
}

func texts() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "p99", "</svg><script>alert(1)</script>", `"'&<>`, "\x00\x1b[31m", "\xff\xfe", "\u202eabc", strings.Repeat("W", 5000), "漢字かな", "\uffff\ufffe"}))
}

func axes() *rapid.Generator[Axis] {
	return rapid.Custom(func(t *rapid.T) Axis {
		return Axis{Label: texts().Draw(t, "label"), Unit: texts().Draw(t, "unit"), Log: rapid.Bool().Draw(t, "log"), Nines: rapid.Bool().Draw(t, "nines"),
			Max: rapid.OneOf(rapid.Just(0.0), numbers()).Draw(t, "max")}
	})
}

func plots() *rapid.Generator[*Plot] {
	return rapid.Custom(func(t *rapid.T) *Plot {
		p := &Plot{Title: texts().Draw(t, "title"), X: axes().Draw(t, "x"), Y: axes().Draw(t, "y")}
		for range rapid.SampledFrom([]int{0, 1, 2, 3, 18}).Draw(t, "lines") {
			l := Line{Name: texts().Draw(t, "name"), Steps: rapid.Bool().Draw(t, "steps")}
			for range rapid.SampledFrom([]int{0, 1, 2, 3, 10, 50}).Draw(t, "points") {
				l.Points = append(l.Points, Point{numbers().Draw(t, "px"), numbers().Draw(t, "py")})
			}
			p.Lines = append(p.Lines, l)
		}
		for range rapid.SampledFrom([]int{0, 1, 2, 18}).Draw(t, "marks") {
			p.Marks = append(p.Marks, Mark{numbers().Draw(t, "mx"), numbers().Draw(t, "my"), texts().Draw(t, "mark")})
		}
		return p
	})
}

// Whatever is drawn is XML with a title and a description, and says nothing that was not escaped.
func TestAnyPlotIsWellFormed(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var b bytes.Buffer
		if err := plots().Draw(r, "plot").SVG(&b); err != nil {
			t.Fatal(err)
		}
		names := wellFormed(t, b.Bytes())
		if names["script"] > 0 || names["title"] != 1 || names["desc"] != 1 {
			t.Fatalf("elements: %v", names)
		}
		if b.Len() > 1<<20 {
			t.Fatalf("%d bytes", b.Len())
		}
	})
}

// A page is XML too, once its doctype is off.
func TestAnyPageIsWellFormed(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := &Page{Title: texts().Draw(r, "title"), Lead: texts().Draw(r, "lead")}
		for range rapid.IntRange(0, 2).Draw(r, "parts") {
			part := Part{Heading: texts().Draw(r, "heading"), Text: rapid.SliceOfN(texts(), 0, 3).Draw(r, "text"), Table: rapid.SliceOfN(rapid.SliceOfN(texts(), 0, 4), 0, 4).Draw(r, "table")}
			if rapid.Bool().Draw(r, "plotted") {
				part.Plot = plots().Draw(r, "plot")
			}
			p.Parts = append(p.Parts, part)
		}
		var b bytes.Buffer
		if err := p.HTML(&b); err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(b.String(), "\n")
		if names := wellFormed(t, []byte(body)); names["script"] > 0 || names["link"] > 0 || names["img"] > 0 || names["style"] != 1 {
			t.Fatalf("elements: %v", names)
		}
	})
}

// The bound holds for what is largest: every line full, of points that go back and forth as far as they can.
func TestHugePlotsAreBounded(t *testing.T) {
	for _, steps := range []bool{false, true} {
		p := &Plot{Title: strings.Repeat("<", 1e6), X: Axis{Label: strings.Repeat("&", 1e6)}}
		for range 100 { // of which 16 are drawn
			l := Line{Name: strings.Repeat("\"", 1e5), Steps: steps, Points: make([]Point, 20_000)}
			for j := range l.Points {
				l.Points[j] = Point{float64(j * 7919 % 20_000), float64(j*104729%20_000) - 10_000}
			}
			p.Lines = append(p.Lines, l)
		}
		var b bytes.Buffer
		if err := p.SVG(&b); err != nil {
			t.Fatal(err)
		}
		wellFormed(t, b.Bytes())
		if b.Len() > 1<<20 {
			t.Errorf("dots %v: %d bytes", steps, b.Len())
		}
		if !strings.Contains(b.String(), "and 84 more") {
			t.Error("it does not say that lines are missing")
		}
	}
}

// What thins a line keeps its ends and its peaks.
func TestThinKeepsWhatIsSeen(t *testing.T) {
	all := make([]spot, 100_000)
	for i := range all {
		all[i] = spot{x: float64(i) * 600 / 100_000, y: 50}
	}
	all[31_415].y, all[62_831].y = 1, 99
	got := thin(all)
	low, high := 50.0, 50.0
	for _, s := range got {
		low, high = min(low, s.y), max(high, s.y)
	}
	if len(got) > most || got[0] != all[0] || got[len(got)-1] != all[len(all)-1] || low != 1 || high != 99 {
		t.Errorf("%d spots from %v to %v, lowest %v, highest %v", len(got), got[0], got[len(got)-1], low, high)
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		axis  Axis
		reach reach
		room  int
		want  string
	}{
		{Axis{Unit: "ms"}, reach{0, 9.3, true}, 6, "0 ms|2 ms|4 ms|6 ms|8 ms|10 ms"},
		{Axis{Unit: "/s"}, reach{0, 48_000, true}, 5, "0/s|10,000/s|20,000/s|30,000/s|40,000/s|50,000/s"},
		{Axis{Unit: "%"}, reach{-3, 7, true}, 5, "-4%|-2%|0%|2%|4%|6%|8%"},
		{Axis{}, reach{0, 0.0037, true}, 4, "0|0.001|0.002|0.003|0.004"},
		{Axis{}, reach{0, 3.1e9, true}, 4, "0|1G|2G|3G|4G"},
		{Axis{}, reach{0, 0, true}, 4, "0|0.5|1"},
		{Axis{}, reach{}, 4, "0|0.5|1"},
		{Axis{Max: math.SmallestNonzeroFloat64}, reach{}, 4, "0|0.5|1"},
		{Axis{Log: true, Unit: "ms"}, reach{math.Log10(0.7), math.Log10(42), true}, 7, "0.5 ms|1 ms|2 ms|5 ms|10 ms|20 ms|50 ms"},
		{Axis{Log: true}, reach{-3, 6, true}, 5, "0.01|1|100|10,000|1M"},
		{Axis{Nines: true, Unit: "%"}, reach{0, 3.2, true}, 12, "0%|50%|90%|99%|99.9%"},
		{Axis{Nines: true, Unit: "%"}, reach{0, 6, true}, 4, "0%|99%|99.99%|99.9999%"},
		{Axis{Max: 20}, reach{0, 1000, true}, 4, "0|5|10|15|20"},
	} {
		var got []string
		for _, tick := range newScale(&c.axis, c.reach, c.room, true).ticks {
			if tick.label != "" {
				got = append(got, strings.ReplaceAll(tick.label, "\u00a0", " "))
			}
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%+v %+v: %s, want %s", c.axis, c.reach, s, c.want)
		}
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		in   string
		most int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"äöü", 2, "ä…"}, {"", 3, ""}, {"a", 1, "a"}, {"ab", 1, "…"}} {
		if got := clip(c.in, c.most); got != c.want {
			t.Errorf("clip(%q, %d) = %q, want %q", c.in, c.most, got, c.want)
		}
	}
}

// Colours can be told from the ground by those who see little: 3 to 1 for lines, 4.5 to 1 for letters (WCAG 2.2, 1.4.11 and 1.4.3).
func TestContrast(t *testing.T) {
	ground := tones[0]
	for _, tone := range tones[1:] {
		least := 3.0
		switch tone.name {
		case "ink", "quiet", "mark":
			least = 4.5
		case "grid":
			continue // meant to be faint
		}
		if c := contrast(t, tone.light, ground.light); c < least {
			t.Errorf("%s on light: %.2f", tone.name, c)
		}
		if c := contrast(t, tone.dark, ground.dark); c < least {
			t.Errorf("%s on dark: %.2f", tone.name, c)
		}
	}
}

// No two of the lines that are drawn have both the same colour and the same dashes.
func TestLinesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for i := range mostLines {
		if seen[lineClass(i)] {
			t.Errorf("line %d looks like another: %s", i, lineClass(i))
		}
		seen[lineClass(i)] = true
	}
	if len(dashes) != colours {
		t.Errorf("%d patterns for %d colours", len(dashes), colours)
	}
}

func contrast(t *testing.T, a, b string) float64 {
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, s string) float64 {
	n, err := strconv.ParseUint(s[1:], 16, 32)
	if err != nil || len(s) != 7 {
		t.Fatalf("colour %q", s)
	}
	part := func(shift uint) float64 {
		v := float64(n>>shift&255) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
}
