package authorize

import (
	"slices"
	"strings"
	"sync"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/condition"
	"straum.dev/straum/internal/edge/exchange"
)

// facts show an exchange to a condition.
type facts struct{ x *exchange.Exchange }

var lent = sync.Pool{New: func() any { return new(facts) }}

func lend(x *exchange.Exchange) *facts {
	f := lent.Get().(*facts)
	f.x = x
	return f
}

func (f *facts) giveBack() {
	f.x = nil
	lent.Put(f)
}

// Word implements condition.Facts.
func (f *facts) Word(v condition.Variable) string {
	r, c := &f.x.Request, &f.x.Caller
	switch v {
	case condition.RequestMethod:
		return r.Method
	case condition.RequestHost:
		return r.Host
	case condition.RequestPath:
		return r.Path
	case condition.RequestScheme:
		return r.Scheme
	case condition.ClientIP:
		if f.x.Client.IsValid() {
			return f.x.Client.Unmap().WithZone("").String()
		}
		return ""
	case condition.AuthMethod:
		return c.Method
	case condition.AuthSubject:
		return c.Subject
	case condition.AuthIssuer:
		return c.Issuer
	case condition.AuthClient:
		return c.Client
	}
	if c.Consumer == nil {
		return ""
	}
	switch v {
	case condition.ConsumerID:
		return c.Consumer.ID
	case condition.ConsumerName:
		return c.Consumer.Name
	case condition.ConsumerPlan:
		if c.Consumer.Plan != nil {
			return c.Consumer.Plan.Name
		}
	}
	return ""
}

// List implements condition.Facts.
func (f *facts) List(v condition.Variable) []string {
	c := &f.x.Caller
	switch {
	case v == condition.AuthScopes:
		return c.Scopes
	case c.Consumer == nil:
		return nil
	case v == condition.ConsumerGroups:
		return c.Consumer.Groups
	}
	return c.Consumer.Tags
}

// Field implements condition.Facts. Several of one name are joined as one list; cookies are joined as cookies are (RFC 9113 §8.2.3).
func (f *facts) Field(name string) (value string, there bool) {
	known := exchange.Lookup(name)
	between := ", "
	if known == exchange.Cookie {
		between = "; "
	}
	fields := f.x.Request.Header.All()
	for i := range fields {
		switch {
		case fields[i].Known != known || known == exchange.Other && !strings.EqualFold(fields[i].Name, name):
		case there:
			value += between + fields[i].Value
			if len(value) > condition.MaxValue {
				return value, true // too long to be judged already
			}
		default:
			value, there = fields[i].Value, true
		}
	}
	return value, there
}

// FieldNames implements condition.Facts.
func (f *facts) FieldNames() []string {
	var all []string
	for _, field := range f.x.Request.Header.All() {
		if name := strings.ToLower(field.Name); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// Query implements condition.Facts.
func (f *facts) Query() string { return f.x.Request.Query }

// Time implements condition.Facts.
func (f *facts) Time() time.Time { return clock.Wall(f.x.Times.Start) }

// Claims implements condition.Facts.
func (f *facts) Claims() map[string]any { return f.x.Caller.Claims }
