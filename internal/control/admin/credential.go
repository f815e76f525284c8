package admin

import (
	"context"
	"time"

	"straum.dev/straum/internal/consumer"
)

// Credentials are a stretch of the credentials in force.
type Credentials struct {
	Consumers   int          `json:"consumers" doc:"In all."`
	Total       int          `json:"total" doc:"Credentials that fit what was asked for."`
	Credentials []Credential `json:"credentials" nullable:"false" doc:"By kind, then in the order of the configuration and its files."`
}

// Credential is what is known of a credential besides its secret.
type Credential struct {
	ID       string     `json:"id" doc:"What logs call it."`
	Kind     string     `json:"kind" enum:"api_key,basic,hmac,mtls"`
	Consumer string     `json:"consumer"`
	Plan     string     `json:"plan,omitempty" doc:"Of the consumer."`
	Groups   []string   `json:"groups,omitempty" doc:"Of the consumer."`
	Scopes   []string   `json:"scopes,omitempty"`
	Expires  *time.Time `json:"expires,omitempty" doc:"Never, when absent."`
	Expired  bool       `json:"expired"`
	LastUsed *time.Time `json:"last_used,omitempty" doc:"To the second, since this gateway started. Absent when it was not."`
}

type credentialsQuery struct {
	Consumer string `query:"consumer" maxLength:"128" doc:"Those of one consumer alone."`
	Limit    int    `query:"limit" minimum:"1" maximum:"10000" default:"1000" doc:"Credentials to show."`
	Offset   int    `query:"offset" minimum:"0" default:"0" doc:"Credentials to pass over."`
}

func (a *Admin) getCredentials(_ context.Context, q *credentialsQuery) (*struct{ Body Credentials }, error) {
	body := Credentials{Credentials: []Credential{}}
	if a.sources.Consumers == nil {
		return &struct{ Body Credentials }{body}, nil
	}
	d, now := a.sources.Consumers(), a.wall().Unix()
	body.Consumers, _ = d.Len()
	for listed, c := range d.Credentials() {
		if q.Consumer != "" && c.Consumer.ID != q.Consumer {
			continue
		}
		if body.Total >= q.Offset && len(body.Credentials) < q.Limit {
			body.Credentials = append(body.Credentials, showCredential(listed, &c, now))
		}
		body.Total++
	}
	return &struct{ Body Credentials }{body}, nil
}

func showCredential(l consumer.Listed, c *consumer.Credential, now int64) Credential {
	out := Credential{ID: c.ID, Kind: string(l.Kind), Consumer: c.Consumer.ID, Groups: c.Consumer.Groups, Scopes: c.Scopes,
		Expires: second(c.Expires), Expired: c.Expired(now), LastUsed: second(l.LastUsed)}
	if c.Consumer.Plan != nil {
		out.Plan = c.Consumer.Plan.Name
	}
	return out
}

// second is a time given in seconds since 1970, nil for 0.
func second(at int64) *time.Time {
	if at == 0 {
		return nil
	}
	t := time.Unix(at, 0).UTC()
	return &t
}
