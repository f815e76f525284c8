package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"straum.dev/straum/internal/document"
)

// Reloaded is what became of an order to reload.
type Reloaded struct {
	Revision int  `json:"revision" doc:"That serves now."`
	Changed  bool `json:"changed" doc:"False when the files say what is in force already."`
}

func (a *Admin) postReload(context.Context, *struct{}) (*struct{ Body Reloaded }, error) {
	changed, err := a.sources.Revisions.Reload("admin") // which logs how it went
	number := 0
	if r := a.sources.Revisions.State().InForce; r != nil {
		number = r.Number
	}
	if err != nil {
		return nil, refusedReload(err, number)
	}
	return &struct{ Body Reloaded }{Reloaded{Revision: number, Changed: changed}}, nil
}

func refusedReload(err error, serving int) error {
	list, dropped := mistakes(err)
	status := http.StatusUnprocessableEntity
	var ps *document.Problems
	if !errors.As(err, &ps) {
		status = http.StatusInternalServerError // the file is good, the box is not: a port that is taken, say
	}
	problems := "1 problem"
	if n := len(list) + dropped; n > 1 {
		problems = fmt.Sprintf("%d problems", n)
	}
	p := newProblem(status, fmt.Sprintf("the configuration was refused with %s; revision %d serves on", problems, serving))
	p.Errors = list
	return p
}
