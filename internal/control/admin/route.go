package admin

import (
	"context"

	"straum.dev/straum/internal/control/compile"
)

// Routes are a stretch of the compiled table.
type Routes struct {
	Revision int     `json:"revision" doc:"It was compiled from."`
	Total    int     `json:"total" doc:"Rows of the whole table."`
	Routes   []Route `json:"routes" nullable:"false" doc:"Of two rows that one request matches, the upper wins."`
}

// Route is one row of the table: a route under one host and one path.
type Route struct {
	Name       string   `json:"name"`
	Host       string   `json:"host" doc:"* is any."`
	Path       string   `json:"path"`
	Methods    []string `json:"methods,omitempty" doc:"Any when absent."`
	Conditions []string `json:"conditions,omitempty" doc:"On header fields and query parameters."`
	Upstream   string   `json:"upstream,omitempty"`
	Rewrite    string   `json:"rewrite,omitempty" doc:"How the path is changed. Absent when it is not."`
	Policies   []string `json:"policies,omitempty" doc:"In running order."`
	Source     string   `json:"source,omitempty" doc:"Where the configuration says so."`
	Why        string   `json:"why" doc:"What puts it behind the row above."`
}

type routesQuery struct {
	Limit  int `query:"limit" minimum:"1" maximum:"10000" default:"1000" doc:"Rows to show."`
	Offset int `query:"offset" minimum:"0" default:"0" doc:"Rows to pass over."`
}

func (a *Admin) getRoutes(_ context.Context, q *routesQuery) (*struct{ Body Routes }, error) {
	r, err := a.inForce()
	if err != nil {
		return nil, err
	}
	rows := r.Compiled.Rows()
	body := Routes{Revision: r.Number, Total: len(rows), Routes: []Route{}}
	from := min(q.Offset, len(rows))
	for _, row := range rows[from:min(from+q.Limit, len(rows))] {
		body.Routes = append(body.Routes, showRoute(row))
	}
	return &struct{ Body Routes }{body}, nil
}

func showRoute(r compile.Row) Route {
	return Route{
		Name: r.Name, Host: r.Host, Path: r.Path, Methods: r.Methods, Conditions: r.Conditions, Upstream: r.Upstream,
		Rewrite: r.Rewrite, Policies: r.Policies, Source: r.Source, Why: r.Why,
	}
}
