package admin

import (
	"encoding/json"
	"errors"
	"net/http"

	"straum.dev/straum/internal/document"
)

// Problem is what went wrong, as RFC 9457 has it. Those huma makes have the same members.
type Problem struct {
	Title  string    `json:"title" doc:"The status in words."`
	Status int       `json:"status" doc:"The status."`
	Detail string    `json:"detail" doc:"What was found, what is allowed, what to do."`
	Errors []Mistake `json:"errors,omitempty" nullable:"false" doc:"Each single mistake."`
}

// Mistake is one mistake in a configuration.
type Mistake struct {
	Message    string `json:"message" doc:"What was found, what is allowed, what to do."`
	Location   string `json:"location,omitempty" doc:"file:line:column."`
	File       string `json:"file,omitempty"`
	Line       int    `json:"line,omitempty" doc:"From 1."`
	Column     int    `json:"column,omitempty" doc:"From 1, in characters."`
	Path       string `json:"path,omitempty" doc:"The keys that lead there, such as upstreams.orders.health.every."`
	Suggestion string `json:"suggestion,omitempty" doc:"What was probably meant."`
}

func newProblem(status int, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail}
}

// The methods huma looks for.

func (p *Problem) Error() string             { return p.Detail }
func (p *Problem) GetStatus() int            { return p.Status }
func (p *Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// mistakes takes the problems of a configuration apart; any other error is one mistake without a place.
func mistakes(err error) (all []Mistake, dropped int) {
	var ps *document.Problems
	if !errors.As(err, &ps) {
		return []Mistake{{Message: err.Error()}}, 0
	}
	for _, p := range ps.All() {
		all = append(all, Mistake{Message: p.Text, Location: p.Place(), File: p.File, Line: p.Line, Column: p.Column, Path: p.Path, Suggestion: p.Suggestion})
	}
	return all, ps.Dropped()
}

// refuse answers a request that no operation took.
func refuse(w http.ResponseWriter, status int, detail string) {
	body, err := json.Marshal(newProblem(status, detail))
	if err != nil {
		panic("BUG: a problem cannot be written: " + err.Error())
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // nobody is left to tell
}
