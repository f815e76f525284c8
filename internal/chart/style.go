package chart

import "strings"

// tone is a colour on a light and on a dark ground. A test holds their contrasts.
type tone struct{ name, light, dark string }

// tones are all colours of a plot and a page. Those of lines differ in lightness too, and each has its own pattern of dashes: colour alone
// carries nothing.
var tones = []tone{
	{"ground", "#ffffff", "#14181d"},
	{"ink", "#1b2129", "#e6eaef"},
	{"quiet", "#55606e", "#a3aebb"},
	{"grid", "#e1e5ea", "#2b323b"},
	{"mark", "#a11d2c", "#ff9aa5"},
	{"c0", "#0b5fb0", "#62b0ff"},
	{"c1", "#c2500a", "#ff9d4d"},
	{"c2", "#1b7a43", "#4fce86"},
	{"c3", "#8434b8", "#cf93ff"},
	{"c4", "#b01f62", "#ff86bd"},
	{"c5", "#0c7480", "#4fd0dc"},
	{"c6", "#7a5c00", "#dcbf4a"},
	{"c7", "#4a5568", "#b6c2d1"},
}

// dashes are the patterns of lines; the first is whole.
var dashes = []string{"", "7 4", "2 4", "11 4 2 4", "5 3 1 3", "14 5", "4 2", "1 5"}

// colourStyle gives what the selector picks the colours as variables: light ones on paper and where nothing else is asked for.
func colourStyle(selector string) string {
	var light, dark strings.Builder
	for _, t := range tones {
		light.WriteString("--" + t.name + ":" + t.light + ";")
		dark.WriteString("--" + t.name + ":" + t.dark + ";")
	}
	return selector + "{color-scheme:light dark;" + light.String() + "}\n@media screen and (prefers-color-scheme:dark){" + selector + "{" + dark.String() + "}}\n"
}

// chartStyle is how the parts of a plot look.
var chartStyle = func() string {
	var b strings.Builder
	b.WriteString(`.chart{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:13px}
.chart .ground{fill:var(--ground)}
.chart text{fill:var(--ink)}
.chart .h{font-size:16px;font-weight:600}
.chart .s{font-size:12px;fill:var(--quiet)}
.chart .m{text-anchor:middle}
.chart .e{text-anchor:end}
.chart .halo{paint-order:stroke;stroke:var(--ground);stroke-width:4px;stroke-linejoin:round;fill:var(--mark)}
.chart path{fill:none}
.chart .grid{stroke:var(--grid);stroke-width:1}
.chart .minor{stroke-opacity:.5}
.chart .axis{stroke:var(--quiet);stroke-width:1}
.chart .mark{stroke:var(--mark);stroke-width:1.5;stroke-dasharray:3 3}
.chart .dot{stroke-width:7;stroke-linecap:round}
.chart .line{stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
`)
	for i := range colours {
		n := string(rune('0' + i))
		b.WriteString(".chart .c" + n + "{stroke:var(--c" + n + ")}")
		if dashes[i] != "" {
			b.WriteString(".chart .d" + n + "{stroke-dasharray:" + dashes[i] + "}")
		}
		b.WriteString("\n")
	}
	return b.String()
}()

// pageStyle is how a page looks around its plots: one column, wide tables move inside their own frame, and on paper nothing is cut in two.
const pageStyle = `body{margin:0 auto;padding:1.5rem 1rem 3rem;max-width:60rem;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;overflow-wrap:break-word}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .5rem}
h2{font-size:1.15rem;line-height:1.3;margin:2.25rem 0 .5rem}
p{margin:.5rem 0;max-width:46rem}
.lead{font-size:1.1rem;color:var(--quiet)}
figure{margin:.75rem 0}
svg.chart{display:block;width:100%;height:auto}
svg.narrow{display:none}
.table{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{padding:.3rem .9rem .3rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--grid)}
thead th{color:var(--quiet);font-weight:600;border-bottom-color:var(--quiet);white-space:nowrap}
tbody th{font-weight:400}
.n{text-align:right;white-space:nowrap}
@media screen and (max-width:34rem){svg.wide{display:none}svg.narrow{display:block}body{padding-top:1rem}}
@media print{body{padding:0;max-width:none;font-size:11pt}figure,table,tr{break-inside:avoid}h2{break-after:avoid}.table{overflow:visible}}
`
