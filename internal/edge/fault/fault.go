// Package fault says what went wrong with an exchange: whose fault it was, whether the request may be tried again, what the
// client is told and what the operator is told. Every step can end in a fault; flow turns it into an answer.
//
// It refuses to hold addresses, header values or other inner detail in what the client is told.
package fault

import (
	"errors"
	"fmt"
)

// Side is who caused a fault.
type Side uint8

// The sides of an exchange.
const (
	Client Side = iota + 1
	Gateway
	Upstream
)

func (s Side) String() string {
	switch s {
	case Client:
		return "client"
	case Gateway:
		return "gateway"
	case Upstream:
		return "upstream"
	}
	return "none"
}

// Phase is how far a try had got, towards an endpoint and back, when it failed. It decides whether trying again can repeat an
// effect (RFC 9110 §9.2.2). The order matters: each phase allows less than the one before.
type Phase uint8

// The phases of a try, in the order they are reached.
const (
	// NotConnected: no connection stood, so nothing can have been processed.
	NotConnected Phase = iota
	// NotSent: a connection stood but the endpoint provably did not process the request: no byte of it arrived, or in HTTP/2 it
	// was refused (REFUSED_STREAM, or above the last stream of GOAWAY).
	NotSent
	// MaybeProcessed: some of the request was sent and no answer came.
	MaybeProcessed
	// Answered: a final answer has begun to come back, and none of it was passed on to the client.
	Answered
	// ResponseBegun: the client has been sent part of the response, or may have been.
	ResponseBegun
)

func (p Phase) String() string {
	switch p {
	case NotConnected:
		return "not connected"
	case NotSent:
		return "not sent"
	case MaybeProcessed:
		return "maybe processed"
	case Answered:
		return "answered"
	}
	return "response begun"
}

// Kind names one way in which an exchange can fail. Kinds are static: a fault on the path costs no allocation. The Word is what
// logs and metrics use.
type Kind struct {
	Word   string // e.g. "connect_refused"; unique, [a-z_]+
	Side   Side
	Status int    // what the client is answered, or 0 when there is nobody or nothing to answer
	Code   Code   // what a client that speaks gRPC is answered instead
	Title  string // what the client is told, in a few words
	Detail string // what the client is told, in a sentence that helps
	// Close says that the client's connection cannot carry another request.
	Close bool
}

// Fault is one failure of one exchange.
type Fault struct {
	Kind  *Kind
	Phase Phase // how far the try had got, for faults of step 7
	// RetryAfter is how many seconds the client should wait; 0 when there is nothing to say.
	RetryAfter int
	// Allow lists the methods of a 405, as in the Allow field (RFC 9110 §10.2.1).
	Allow string
	// Detail replaces Kind.Detail for the client when it is not empty.
	Detail string
	// Close says that this connection is not to carry further requests: one of HTTP/1 is closed, one of HTTP/2 drained.
	Close bool
	// Cause is for the operator; it may name addresses.
	Cause error
}

// New makes a fault of kind k with an optional cause.
func New(k *Kind, cause error) *Fault { return &Fault{Kind: k, Cause: cause} }

// At makes a fault of step 7 that struck in phase p.
func At(k *Kind, p Phase, cause error) *Fault { return &Fault{Kind: k, Phase: p, Cause: cause} }

// Error is the operator's text.
func (f *Fault) Error() string {
	if f.Cause != nil {
		return fmt.Sprintf("%s: %v", f.Kind.Word, f.Cause)
	}
	return f.Kind.Word
}

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.Cause }

// Told is the sentence for the client.
func (f *Fault) Told() string {
	if f.Detail != "" {
		return f.Detail
	}
	return f.Kind.Detail
}

// Of is the fault that an error is, or one of our mistakes when it is not a fault at all: bodies fail with nothing else.
func Of(err error) *Fault {
	var f *Fault
	if !errors.As(err, &f) {
		f = New(Internal, err)
	}
	return f
}
