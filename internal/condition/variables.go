package condition

import (
	"time"

	"cel.dev/cel-go/cel"
)

// Variable names one value an expression may mention.
type Variable uint8

// The variables that are one string. What is not there is empty.
const (
	RequestMethod Variable = iota
	RequestHost            // lower case, without port
	RequestPath            // in canonical form
	RequestScheme          // http or https
	ClientIP
	ConsumerID
	ConsumerName
	ConsumerPlan
	AuthMethod // the policy that accepted the credential
	AuthSubject
	AuthIssuer
	AuthClient

	// The variables that are a list of strings.
	ConsumerGroups
	ConsumerTags
	AuthScopes

	// The variables that are neither.
	requestHeaders
	requestQuery
	requestTime
	authClaims
	numVariables
)

// names are what expressions call them.
var names = [numVariables]string{
	RequestMethod: "request.method", RequestHost: "request.host", RequestPath: "request.path", RequestScheme: "request.scheme",
	requestHeaders: "request.headers", requestQuery: "request.query_params", requestTime: "request.time",
	ClientIP:   "client.ip",
	ConsumerID: "consumer.id", ConsumerName: "consumer.name", ConsumerPlan: "consumer.plan", ConsumerGroups: "consumer.groups", ConsumerTags: "consumer.tags",
	AuthMethod: "auth.method", AuthSubject: "auth.subject", AuthIssuer: "auth.issuer", AuthClient: "auth.client", AuthScopes: "auth.scopes",
	authClaims: "auth.claims",
}

// String is the name in expressions.
func (v Variable) String() string { return names[v] }

// variables finds one by its name.
var variables = func() map[string]Variable {
	m := make(map[string]Variable, numVariables)
	for v, name := range names {
		m[name] = Variable(v)
	}
	return m
}()

func (v Variable) kind() *cel.Type {
	switch v {
	case ConsumerGroups, ConsumerTags, AuthScopes:
		return cel.ListType(cel.StringType)
	case requestHeaders, requestQuery:
		return cel.MapType(cel.StringType, cel.StringType)
	case requestTime:
		return cel.TimestampType
	case authClaims:
		return cel.MapType(cel.StringType, cel.DynType)
	}
	return cel.StringType
}

// Facts answer what an expression asks, and are asked for nothing else. What they return need live no longer than the judgement, and
// is not changed.
type Facts interface {
	// Word is the value of a variable that is one string, empty for none.
	Word(Variable) string
	// List is the value of a variable that is a list of strings.
	List(Variable) []string
	// Field gives the value of a header field by its name in any case. Several fields of one name are one value, as RFC 9110 §5.3 joins
	// them.
	Field(name string) (value string, there bool)
	// FieldNames gives the names of all header fields, each once, in lower case.
	FieldNames() []string
	// Query is the request's query as received, without the question mark.
	Query() string
	// Time is when the request came.
	Time() time.Time
	// Claims is what an issuer says of the caller: the values of a JSON object. Numbers may be json.Number.
	Claims() map[string]any
}
