package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"straum.dev/straum/internal/control/revision"
)

// Configuration is the configuration in force.
type Configuration struct {
	Revision int             `json:"revision"`
	Files    []string        `json:"files" nullable:"false" doc:"It was read from, those of secrets included."`
	Config   json.RawMessage `json:"config" doc:"As in straum.yaml, defaults written out, secrets replaced by ***."`
}

func (a *Admin) getConfig(context.Context, *struct{}) (*struct{ Body Configuration }, error) {
	r, err := a.inForce()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(r.Config.Redacted())
	if err != nil {
		return nil, unwritable(err)
	}
	body := Configuration{Revision: r.Number, Files: r.Config.Files(), Config: text}
	return &struct{ Body Configuration }{body}, nil
}

type yamlText struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (a *Admin) getConfigYAML(context.Context, *struct{}) (*yamlText, error) {
	r, err := a.inForce()
	if err != nil {
		return nil, err
	}
	text, err := r.Config.Redacted().YAML()
	if err != nil {
		return nil, unwritable(err)
	}
	return &yamlText{ContentType: "application/yaml", Body: text}, nil
}

// inForce is the revision in force.
func (a *Admin) inForce() (*revision.Revision, error) {
	if r := a.sources.Revisions.State().InForce; r != nil {
		return r, nil
	}
	return nil, newProblem(http.StatusServiceUnavailable, "no configuration is in force yet; try again in a moment")
}

func unwritable(err error) error {
	return newProblem(http.StatusInternalServerError, fmt.Sprintf("the configuration cannot be written: %v; this is a bug in straum", err))
}
