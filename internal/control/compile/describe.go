package compile

import "straum.dev/straum/internal/edge/route"

// Row is one line of the route table as compiled: a route under one host and one path.
type Row struct {
	route.Row
	Upstream string
	Rewrite  string // what is done to the path, empty for nothing
	Policies []string
}

// Rows gives the table in order of precedence: of two rows that one request matches, the upper wins.
func (c *Compiled) Rows() []Row {
	rows := c.table.Rows()
	out := make([]Row, len(rows))
	for i, row := range rows {
		r := &c.routes[row.Route]
		out[i] = Row{Row: row, Upstream: r.upstream, Rewrite: r.path, Policies: r.policies}
	}
	return out
}
