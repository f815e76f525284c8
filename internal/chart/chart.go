// Package chart draws lines into SVG and puts them on a page of one file, for reports that are read without a network.
//
// It serves no step of a request. It refuses scripts, styles and fonts from elsewhere, and to write a text that was not escaped.
//
// Everything is bounded: of a plot 16 lines and 16 marks are drawn and the rest is counted in the legend, of a line as many points as its
// pixels can show, of a name 120 characters. An SVG has at most 1 MiB, whatever it is drawn from.
//
// In reading order: chart.go (what is said), scale.go (from numbers to places), figure.go (numbers in words), text.go (escaping and
// measuring), thin.go (as many points as can be seen), draw.go (SVG), style.go (colours) and page.go (HTML).
package chart

import "io"

// Plot is one picture of lines over common axes.
type Plot struct {
	Title string
	X, Y  Axis
	Lines []Line
	Marks []Mark
}

// Axis is one direction. A linear one begins at zero unless there are points below.
type Axis struct {
	Label string
	Unit  string  // behind its numbers: "ms", "/s"
	Log   bool    // spaced by powers of ten; points at zero and below break the line
	Nines bool    // percentiles: spaced by the nines they have (90, 99, 99.9); 100 and more lie at its end
	Max   float64 // where it ends; 0 is where the points do
}

// Line joins points in order. One without a name is not in the legend. One with few points shows each.
type Line struct {
	Name   string
	Points []Point
	Steps  bool // dots without a line between them
}

// Point lies where its numbers say. A point that is not a number, or is further than 1e15 from zero, breaks the line.
type Point struct{ X, Y float64 }

// Mark is a place with a name: a vertical line at X, or a horizontal one at Y when X is not a number. Axes reach as far as the marks do.
type Mark struct {
	X, Y float64
	Name string
}

// SVG draws it as a picture of its own, which follows the reader's choice of light or dark. The error is the writer's.
func (p *Plot) SVG(w io.Writer) error {
	b := make([]byte, 0, 16<<10)
	b = p.draw(b, canvas{width: 720, height: 400, styled: true, titled: true})
	_, err := w.Write(b)
	return err
}
