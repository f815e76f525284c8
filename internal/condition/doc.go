// Package condition compiles and judges small expressions in CEL, the Common Expression Language (https://cel.dev), over a request and
// its caller. Policies of step 4 use it, compiled when a configuration is loaded; it knows nothing of exchanges and asks for what an
// expression mentions through Facts.
//
// In reading order: compile.go (text to Condition, with errors that point into the text), variables.go (what an expression may
// mention), judge.go (the request path), fields.go (maps that look things up only when asked).
//
// Everything is bounded: the text, the steps it can take by estimate and in fact, the size of a regular expression, the length of a
// value. An expression that fails never holds. The package refuses functions that make text grow by multiplication (replace, join,
// format), patterns that are not written out in the expression, and to tell what a value was when it could not be judged.
package condition
