package chart

import (
	"fmt"
	"math"
	"strconv"
)

// Bounds of what is drawn of one plot.
const (
	mostLines = 16
	mostMarks = 16
	colours   = 8 // with as many patterns of dashes; the next eight lines have the same in other pairs
	fewPoints = 40
)

// Sizes in pixels of a picture that is shown as it is.
const (
	titleSize = 16
	textSize  = 13
	smallSize = 12
	row       = 20 // of the legend
)

// canvas is how a plot is to be drawn.
type canvas struct {
	width, height float64
	styled        bool   // with its own colours, as it stands alone
	titled        bool   // with its title above
	id            string // in front of ids, which are unique on a page
	class         string
}

// drawing is one picture while it is drawn.
type drawing struct {
	*Plot
	canvas
	b      []byte
	x, y   *scale
	lines  []Line // those that are drawn
	marks  []Mark
	hidden int // lines that are not
	// The field that the axes span.
	left, top, right, bottom float64
	legend                   []entry
}

// entry is a name in the legend, and where it stands.
type entry struct {
	line int
	name string
	x, y float64
}

// draw appends the picture.
func (p *Plot) draw(b []byte, c canvas) []byte {
	d := &drawing{Plot: p, canvas: c, b: b}
	d.lines, d.marks = p.Lines[:min(len(p.Lines), mostLines)], p.Marks[:min(len(p.Marks), mostMarks)]
	d.hidden = len(p.Lines) - len(d.lines)
	d.layOut()
	d.open()
	d.grid()
	for i := range d.lines {
		d.line(i)
	}
	d.axes()
	d.places()
	d.head()
	d.raw("</svg>\n")
	return d.b
}

// layOut finds the scales and the place that the texts around leave for the field.
func (d *drawing) layOut() {
	kx, ky := d.X.kind(), d.Y.kind()
	var rx, ry reach
	for _, l := range d.lines {
		for _, p := range l.Points {
			mx, okx := kx.measure(p.X)
			my, oky := ky.measure(p.Y)
			if okx && oky {
				rx.add(mx)
				ry.add(my)
			}
		}
	}
	for _, m := range d.marks {
		if mx, ok := kx.measure(m.X); ok {
			rx.add(mx)
		} else if my, ok := ky.measure(m.Y); ok {
			ry.add(my)
		}
	}
	d.top = 10
	if d.titled && d.Title != "" {
		d.top += 24
	}
	d.layOutLegend()
	if d.Y.Label != "" {
		d.top += 20
	}
	d.top += 8
	d.bottom = d.height - 26
	if d.X.Label != "" {
		d.bottom -= 18
	}
	d.bottom = max(d.bottom, d.top+40)
	d.y = newScale(&d.Y, ry, int((d.bottom-d.top)/44), true)
	widest := 0.0
	for _, t := range d.y.ticks {
		widest = max(widest, width(t.label, smallSize))
	}
	d.left = min(widest+12, d.width/3)
	d.right = d.width - 18
	apart := 76.0 // pixels from one label to the next
	if kx == nines {
		apart = 56 // they are short
	}
	d.x = newScale(&d.X, rx, int((d.right-d.left)/apart), false)
	// The last label stands in the middle below its tick; it may not be cut.
	for _, t := range d.x.ticks {
		if over := d.px(t.at) + width(t.label, smallSize)/2 - (d.width - 4); over > 0 {
			d.right = max(d.right-over, d.left+40)
		}
	}
}

// layOutLegend puts the names of lines into rows.
func (d *drawing) layOutLegend() {
	x, y := 8.0, d.top+row/2
	add := func(line int, name string) {
		name = fit(name, textSize, d.width-56)
		w := 30 + width(name, textSize) + 14
		if x > 8 && x+w > d.width {
			x, y = 8, y+row
		}
		d.legend = append(d.legend, entry{line, name, x, y})
		x += w
	}
	for i, l := range d.lines {
		if l.Name != "" {
			add(i, l.Name)
		}
	}
	if d.hidden > 0 {
		add(-1, "and "+strconv.Itoa(d.hidden)+" more")
	}
	if len(d.legend) > 0 {
		d.top = y + row/2 + 4
	}
}

// px and py are the pixels of measures.
func (d *drawing) px(m float64) float64 { return d.left + d.x.share(m)*(d.right-d.left) }
func (d *drawing) py(m float64) float64 { return d.bottom - d.y.share(m)*(d.bottom-d.top) }

func (d *drawing) raw(s string) { d.b = append(d.b, s...) }

func (d *drawing) put(format string, args ...any) { d.b = fmt.Appendf(d.b, format, args...) }

// text writes one line of text. class is one of ours.
func (d *drawing) text(x, y float64, class, s string) {
	if s == "" {
		return
	}
	d.put(`<text x="%s" y="%s" class="%s">`, num(x), num(y), class)
	d.b = escape(d.b, s)
	d.raw("</text>\n")
}

// num writes a coordinate: a tenth of a pixel is enough.
func num(v float64) string {
	s := strconv.FormatFloat(v, 'f', 1, 64)
	if n := len(s); n > 2 && s[n-2:] == ".0" {
		s = s[:n-2]
	}
	if s == "-0" {
		return "0"
	}
	return s
}

// open begins the picture and says in words what it shows, for those who do not see it.
func (d *drawing) open() {
	class := "chart"
	if d.class != "" {
		class += " " + d.class
	}
	d.put(`<svg xmlns="http://www.w3.org/2000/svg" class="%s" viewBox="0 0 %s %s" role="img" aria-labelledby="%st %sd">`+"\n", class, num(d.width), num(d.height), d.id, d.id)
	d.put(`<title id="%st">`, d.id)
	title := d.Title
	if title == "" {
		title = "Plot"
	}
	d.b = escape(d.b, clip(title, longest))
	d.put("</title>\n"+`<desc id="%sd">`, d.id)
	d.b = escape(d.b, d.describe())
	d.raw("</desc>\n")
	if d.styled {
		d.raw("<style>")
		d.raw(colourStyle("svg.chart"))
		d.raw(chartStyle)
		d.raw("</style>\n")
	}
	d.put(`<rect class="ground" width="%s" height="%s"/>`+"\n", num(d.width), num(d.height))
}

// describe is what the picture shows.
func (d *drawing) describe() string {
	s := fmt.Sprintf("%s against %s.", or(clip(d.Y.Label, longest), "values"), or(clip(d.X.Label, longest), "values"))
	for i, l := range d.lines {
		s += " " + or(clip(l.Name, longest), "Line "+strconv.Itoa(i+1)) + ": " + d.extent(l.Points) + "."
	}
	if d.hidden > 0 {
		s += fmt.Sprintf(" %d more lines are not drawn.", d.hidden)
	}
	for _, m := range d.marks {
		if _, ok := d.x.kind.measure(m.X); ok {
			s += fmt.Sprintf(" Mark at %s: %s.", brief(m.X)+spaced(d.X.Unit), clip(m.Name, longest))
		} else if _, ok := d.y.kind.measure(m.Y); ok {
			s += fmt.Sprintf(" Mark at %s: %s.", brief(m.Y)+spaced(d.Y.Unit), clip(m.Name, longest))
		}
	}
	return s
}

// extent says where a line begins, how far it goes and where it ends.
func (d *drawing) extent(points []Point) string {
	var first, last, low, high Point
	n := 0
	for _, p := range points {
		_, okx := d.x.kind.measure(p.X)
		if _, oky := d.y.kind.measure(p.Y); !okx || !oky {
			continue
		}
		if n == 0 {
			first, low, high = p, p, p
		}
		if n++; p.Y < low.Y {
			low = p
		}
		if p.Y > high.Y {
			high = p
		}
		last = p
	}
	at := func(p Point) string { return brief(p.Y) + spaced(d.Y.Unit) + " at " + brief(p.X) + spaced(d.X.Unit) }
	switch n {
	case 0:
		return "no points"
	case 1:
		return at(first)
	}
	return fmt.Sprintf("%d points from %s to %s, lowest %s, highest %s", n, at(first), at(last), at(low), at(high))
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// grid draws the lines behind, and the numbers beside them.
func (d *drawing) grid() {
	for _, class := range []string{"grid minor", "grid"} {
		d.put(`<path class="%s" d="`, class)
		for _, t := range d.y.ticks {
			if (t.label == "") == (class != "grid") {
				d.put("M%s %sH%s", num(d.left), num(d.py(t.at)), num(d.right))
			}
		}
		for _, t := range d.x.ticks {
			if (t.label == "") == (class != "grid") {
				d.put("M%s %sV%s", num(d.px(t.at)), num(d.top), num(d.bottom))
			}
		}
		d.raw(`"/>` + "\n")
	}
	for _, t := range d.y.ticks {
		d.text(d.left-6, d.py(t.at)+4, "s e", t.label)
	}
	end := math.Inf(-1) // of the label before: two never overlap
	for _, t := range d.x.ticks {
		w := width(t.label, smallSize)
		if at := d.px(t.at); t.label != "" && at-w/2 > end+2 {
			d.text(at, d.bottom+17, "s m", t.label)
			end = at + w/2
		}
	}
}

// line draws one line, or its dots.
func (d *drawing) line(i int) {
	l := &d.lines[i]
	spots := make([]spot, 0, len(l.Points))
	shown := 0
	for _, p := range l.Points {
		mx, okx := d.x.kind.measure(p.X)
		my, oky := d.y.kind.measure(p.Y)
		if !okx || !oky {
			spots = append(spots, spot{gap: true})
			continue
		}
		shown++
		spots = append(spots, spot{x: d.px(mx), y: d.py(my)})
	}
	spots = thin(spots)
	// Inside an svg of its own it is cut where the axes end. Half the width of a line lies outside of them.
	const edge = 4
	d.put(`<svg x="%s" y="%s" width="%s" height="%s" viewBox="%s %s %s %s">`, num(d.left-edge), num(d.top-edge), num(d.right-d.left+2*edge), num(d.bottom-d.top+2*edge),
		num(d.left-edge), num(d.top-edge), num(d.right-d.left+2*edge), num(d.bottom-d.top+2*edge))
	if !l.Steps && shown > 0 {
		d.put(`<path class="%s" d="`, lineClass(i))
		d.path(spots)
		d.raw(`"/>`)
	}
	if l.Steps || shown <= fewPoints {
		d.put(`<path class="dot c%d" d="`, i%colours) // lines without length, whose ends are round
		for _, s := range spots {
			if !s.gap {
				d.put("M%s %sh0", num(s.x), num(s.y))
			}
		}
		d.raw(`"/>`)
	}
	d.raw("</svg>\n")
}

// path joins spots. One that stands alone between gaps is a line without length, which its round ends make a dot.
func (d *drawing) path(spots []spot) {
	up := true // the pen
	for i, s := range spots {
		switch {
		case s.gap:
			up = true
			continue
		case up:
			d.put("M%s %s", num(s.x), num(s.y))
			if i+1 == len(spots) || spots[i+1].gap {
				d.raw("h0")
			}
		default:
			d.put("L%s %s", num(s.x), num(s.y))
		}
		up = false
	}
}

// lineClass is the colour and the pattern of a line; no two of those drawn have both.
func lineClass(i int) string {
	return fmt.Sprintf("line c%d d%d", i%colours, (i+i/colours)%colours)
}

// axes draws the two lines that the numbers stand at, and says what they are.
func (d *drawing) axes() {
	d.put(`<path class="axis" d="M%s %sV%sH%s"/>`+"\n", num(d.left), num(d.top), num(d.bottom), num(d.right))
	d.text(8, d.top-14, "s", fit(d.Y.Label, smallSize, d.width-16))
	d.text((d.left+d.right)/2, d.height-9, "s m", fit(d.X.Label, smallSize, d.width-16))
	for _, l := range d.lines {
		if len(l.Points) > 0 {
			return
		}
	}
	d.text((d.left+d.right)/2, (d.top+d.bottom)/2, "t m", "no data")
}

// places draws the marks. Names of vertical ones stand at the top, each in a row that has room for it.
func (d *drawing) places() {
	var ends []float64 // of the names in each row
	for _, m := range d.marks {
		if mx, ok := d.x.kind.measure(m.X); ok {
			x := d.px(mx)
			name := fit(m.Name, smallSize, (d.right-d.left)*0.7)
			w := width(name, smallSize)
			d.put(`<path class="mark" d="M%s %sV%s"/>`+"\n", num(x), num(d.top), num(d.bottom))
			begin, at, class := x+6, x+6, "s halo"
			if left := x - 6 - w; begin+w > d.right || d.crossed(x, begin+w) && left > d.left && !d.crossed(left, x) {
				begin, at, class = left, x-6, "s e halo"
			}
			level := 0
			for level < len(ends) && ends[level] > begin {
				level++
			}
			if level == len(ends) {
				ends = append(ends, 0)
			}
			ends[level] = begin + w + 8
			d.text(at, min(d.top+13+float64(level)*15, d.bottom-4), class, name)
			continue
		}
		if my, ok := d.y.kind.measure(m.Y); ok {
			y := d.py(my)
			d.put(`<path class="mark" d="M%s %sH%s"/>`+"\n", num(d.left), num(y), num(d.right))
			at := y - 5
			if at < d.top+10 {
				at = y + 14
			}
			d.text(d.right-4, at, "s e halo", fit(m.Name, smallSize, (d.right-d.left)*0.9))
		}
	}
}

// crossed says whether a vertical mark stands between two places.
func (d *drawing) crossed(from, to float64) bool {
	for _, m := range d.marks {
		if mx, ok := d.x.kind.measure(m.X); ok && d.px(mx) > from && d.px(mx) < to {
			return true
		}
	}
	return false
}

// head draws the title and the legend.
func (d *drawing) head() {
	if d.titled {
		d.text(8, 22, "h", fit(d.Title, titleSize, d.width-16))
	}
	for _, e := range d.legend {
		if e.line < 0 {
			d.text(e.x, e.y+4, "t", e.name)
			continue
		}
		if d.lines[e.line].Steps {
			d.put(`<path class="dot c%d" d="M%s %sh0"/>`+"\n", e.line%colours, num(e.x+12), num(e.y))
		} else {
			d.put(`<path class="%s" d="M%s %sh24"/>`+"\n", lineClass(e.line), num(e.x), num(e.y))
		}
		d.text(e.x+30, e.y+4, "t", e.name)
	}
}
