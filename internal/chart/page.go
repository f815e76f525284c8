package chart

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

// Page is a whole HTML file. It is well-formed XML below its doctype, and forbids itself to load anything.
type Page struct {
	Title string
	Lead  string // one sentence below it: what came of it
	Parts []Part
}

// Part is a heading with what stands below it. Any of the rest may be empty.
type Part struct {
	Heading string
	Text    []string   // paragraphs
	Table   [][]string // the first row is the heads
	Plot    *Plot
}

// HTML writes it. The error is the writer's.
func (p *Page) HTML(w io.Writer) error {
	style := colourStyle(":root") + chartStyle + pageStyle
	sum := sha256.Sum256([]byte(style))
	b := make([]byte, 0, 64<<10)
	b = append(b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"...)
	b = fmt.Appendf(b, "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-%s'\"/>\n", base64.StdEncoding.EncodeToString(sum[:]))
	b = append(b, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<meta name=\"referrer\" content=\"no-referrer\"/>\n"...)
	b = element(b, "title", "", p.Title)
	b = append(b, "<style>"+style+"</style>\n</head>\n<body>\n<main>\n"...)
	b = element(b, "h1", "", p.Title)
	if p.Lead != "" {
		b = element(b, "p", "lead", p.Lead)
	}
	for i := range p.Parts {
		b = p.Parts[i].html(b, i)
	}
	b = append(b, "</main>\n</body>\n</html>\n"...)
	_, err := w.Write(b)
	return err
}

// html appends one part. n tells its ids from those of others.
func (t *Part) html(b []byte, n int) []byte {
	b = append(b, "<section>\n"...)
	if t.Heading != "" {
		b = element(b, "h2", "", t.Heading)
	}
	for _, s := range t.Text {
		b = element(b, "p", "", s)
	}
	if t.Plot != nil {
		// Two drawings, of which one is shown: on a phone the wide one's letters would be too small to read.
		titled := t.Plot.Title != t.Heading
		b = append(b, "<figure>\n"...)
		b = t.Plot.draw(b, canvas{width: 720, height: 380, titled: titled, id: fmt.Sprintf("w%d", n), class: "wide"})
		b = t.Plot.draw(b, canvas{width: 360, height: 320, titled: titled, id: fmt.Sprintf("n%d", n), class: "narrow"})
		b = append(b, "</figure>\n"...)
	}
	if len(t.Table) > 0 {
		b = table(b, t.Table)
	}
	return append(b, "</section>\n"...)
}

// table appends a table. Numbers stand on the right, and so do the heads of columns that hold nothing else.
func table(b []byte, rows [][]string) []byte {
	numbers := make([]bool, len(rows[0]))
	for i := range numbers {
		numbers[i] = len(rows) > 1
		for _, r := range rows[1:] {
			numbers[i] = numbers[i] && (i >= len(r) || isNumber(r[i]))
		}
	}
	cell := func(tag, scope, s string, i int) {
		b = append(b, "<"+tag...)
		if scope != "" {
			b = append(b, ` scope="`+scope+`"`...)
		}
		if i < len(numbers) && numbers[i] {
			b = append(b, ` class="n"`...)
		}
		b = append(b, '>')
		b = escape(b, s)
		b = append(b, "</"+tag+">"...)
	}
	b = append(b, `<div class="table"><table>`+"\n<thead><tr>"...)
	for i, s := range rows[0] {
		cell("th", "col", s, i)
	}
	b = append(b, "</tr></thead>\n<tbody>\n"...)
	for _, r := range rows[1:] {
		b = append(b, "<tr>"...)
		for i, s := range r {
			if i == 0 {
				cell("th", "row", s, i)
				continue
			}
			cell("td", "", s, i)
		}
		b = append(b, "</tr>\n"...)
	}
	return append(b, "</tbody>\n</table></div>\n"...)
}

// isNumber says that a cell begins with a number, or says that there is none.
func isNumber(s string) bool {
	s = strings.TrimLeft(s, "<>≤≥~−-+ ")
	return s == "" || s[0] >= '0' && s[0] <= '9'
}

// element appends a tag around a text. tag and class are ours.
func element(b []byte, tag, class, s string) []byte {
	b = append(b, "<"+tag...)
	if class != "" {
		b = append(b, ` class="`+class+`"`...)
	}
	b = append(b, '>')
	b = escape(b, s)
	return append(b, "</"+tag+">\n"...)
}
