package compress

import (
	"strings"

	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/grammar"
)

// types are the media types worth compressing.
type types struct {
	exact    []string // type/subtype, in lower case
	all      []string // type/, for type/*
	suffixes []string // +suffix (RFC 6838 §4.2.8)
	events   bool     // text/event-stream was asked for by name
}

// events are streams of which each event is to arrive at once: compressing them pays only for some, who say so.
const eventStream = "text/event-stream"

// add takes one of the option, and says what is wrong with it.
func (t *types) add(text string) string {
	text = strings.ToLower(text)
	if suffix, ok := strings.CutPrefix(text, "+"); ok {
		if !grammar.IsToken(suffix) {
			return "is no suffix: write one like +json"
		}
		t.suffixes = append(t.suffixes, text)
		return ""
	}
	major, minor, ok := strings.Cut(text, "/")
	switch {
	case !ok, !grammar.IsToken(major), !grammar.IsToken(minor), strings.Contains(major, "*"), strings.Contains(minor, "*") && minor != "*":
		return "is no media type: write type/subtype, type/* or +suffix, without parameters"
	case minor == "*":
		t.all = append(t.all, major+"/")
	default:
		t.exact = append(t.exact, text)
		t.events = t.events || text == eventStream
	}
	return ""
}

// has says whether content of this type is worth it. Streams of gRPC never are: they have a coding of their own.
func (t *types) has(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = grammar.TrimSpace(kind)
	if grammar.FoldIs(kind, eventStream) {
		return t.events
	}
	if fault.SpeaksGRPC(contentType) {
		return false
	}
	for _, exact := range t.exact {
		if grammar.FoldIs(kind, exact) {
			return true
		}
	}
	for _, major := range t.all {
		if len(kind) > len(major) && grammar.FoldIs(kind[:len(major)], major) {
			return true
		}
	}
	for _, suffix := range t.suffixes {
		if at := len(kind) - len(suffix); at > 0 && grammar.FoldIs(kind[at:], suffix) {
			return true
		}
	}
	return false
}
