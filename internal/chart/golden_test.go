package chart

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the pictures in testdata")

// pictures are plots of every kind. Their files in testdata are looked at by people when they change.
func pictures() map[string]*Plot {
	over := func(name string, f func(float64) float64) Line {
		l := Line{Name: name}
		for x := 0.0; x <= 60; x++ {
			l.Points = append(l.Points, Point{x, f(x)})
		}
		return l
	}
	percentiles := func(name string, scale float64) Line {
		l := Line{Name: name}
		for m := 0.0; m <= 4.6; m += 0.1 {
			l.Points = append(l.Points, Point{100 * (1 - math.Pow(10, -m)), scale * (1 + m*m*m)})
		}
		return l
	}
	time := &Plot{Title: "Latency over time", X: Axis{Label: "time", Unit: "s"}, Y: Axis{Label: "latency", Unit: "ms"}, Lines: []Line{
		over("median", func(x float64) float64 { return 1.2 + 0.2*math.Sin(x/5) }),
		over("p99", func(x float64) float64 { return 3 + math.Sin(x/3) + 0.02*x }),
		over("longest", func(x float64) float64 { return 6 + 4*math.Abs(math.Sin(x*1.7)) }),
	}, Marks: []Mark{{X: math.NaN(), Y: 8, Name: "goal: 8 ms"}}}
	gap := over("with a gap", func(x float64) float64 { return x })
	gap.Points[20].Y, gap.Points[40].Y, gap.Points[42].Y = math.NaN(), math.NaN(), math.NaN()
	var many []Line
	for i := range 18 {
		many = append(many, over("line "+string(rune('a'+i)), func(x float64) float64 { return float64(i) + x/60 }))
	}
	return map[string]*Plot{
		"time": time,
		"percentiles": {Title: "Latency by percentile", X: Axis{Label: "percentile", Unit: "%", Nines: true}, Y: Axis{Label: "latency", Unit: "ms"},
			Lines: []Line{percentiles("from when it was due", 1), percentiles("from when it was sent", 0.4)}},
		"percentiles-log": {Title: "Latency by percentile, powers of ten", X: Axis{Label: "percentile", Unit: "%", Nines: true}, Y: Axis{Label: "latency", Unit: "ms", Log: true},
			Lines: []Line{percentiles("1,000/s", 0.1), percentiles("2,000/s", 0.3), percentiles("4,000/s", 8)}},
		"rate": {Title: "p99 against rate", X: Axis{Label: "requests a second", Unit: "/s"}, Y: Axis{Label: "p99", Unit: "ms", Log: true}, Lines: []Line{
			{Name: "passed", Points: []Point{{500, 1.1}, {1000, 1.2}, {2000, 1.5}, {4000, 2.9}, {5000, 6}}},
			{Name: "failed", Points: []Point{{8000, 420}, {6000, 45}}, Steps: true}},
			Marks: []Mark{{X: 5200, Name: "knee: 5,200/s"}, {X: 5000, Name: "capacity: 5,000/s"}, {X: math.NaN(), Y: 15, Name: "goal: 15 ms"}}},
		"negative": {Title: "Change", X: Axis{Label: "time", Unit: "s"}, Y: Axis{Label: "change", Unit: "%"}, Lines: []Line{over("change", func(x float64) float64 { return 30*math.Cos(x/7) - 4 })}},
		"gap":      {Title: "Gaps", X: Axis{Label: "time", Unit: "s", Max: 50}, Y: Axis{Label: "answers", Unit: "/s", Max: 45}, Lines: []Line{gap}},
		"many":     {Title: "More lines than there are colours", X: Axis{Label: "time", Unit: "s"}, Y: Axis{Label: "value"}, Lines: many},
		"empty":    {Title: "Nothing <to> \"see\" & 'escape'", X: Axis{Label: "time"}, Y: Axis{Label: "value"}},
	}
}

func TestPictures(t *testing.T) {
	for name, p := range pictures() {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := p.SVG(&b); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".svg", b.Bytes())
		})
	}
}

// report is a page with all that a page may have.
func report() *Page {
	all := pictures()
	return &Page{Title: "straum load http://127.0.0.1:8080/orders", Lead: "1,000 requests/s were wanted and reached; p99 was 3.2 ms.", Parts: []Part{
		{Heading: "What came of it", Text: []string{"Open loop over at most 64 connections for 60 s.", "<script>alert(1)</script> & a right-to-left \u202e mark."}, Table: [][]string{
			{"latency", "p50", "p90", "p99", "p99.9", "longest", "note"}, {"from due", "1.2 ms", "1.9 ms", "3.2 ms", "9.7 ms", "12 ms", "counts waiting"}, {"from sent", "1.1 ms", "1.8 ms", "3.0 ms", "9.1 ms", "12 ms", ""}}},
		{Heading: "Latency by percentile", Text: []string{"Each step to the right is a tenth of the requests that are left."}, Plot: all["percentiles"]},
		{Heading: "Over time", Plot: all["time"]},
		{Heading: "Against rate", Plot: all["rate"]},
	}}
}

func TestPage(t *testing.T) {
	var b bytes.Buffer
	if err := report().HTML(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "page.html", b.Bytes())
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is drawn otherwise now; look at it and run go test -update ./internal/chart", name)
	}
}
