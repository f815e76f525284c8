// Package compile turns a configuration into what the data path runs on: the settings of upstreams and listeners, and the snapshot.
// It serves no step of a request; what it makes serves them all. It is the only package that knows both planes.
//
// Compile is pure. It opens nothing and starts nothing, so that a configuration can be judged to its end before anything is touched,
// and so that `straum check` and a running gateway say the same. What the configuration alone could not judge is judged here: patterns
// that contradict each other, rewrites, options of policies, values the data path cannot work with. Every mistake is a
// document.Problem with its place.
//
// In reading order: compile.go (the whole), listener.go, upstream.go, route.go, policy.go, describe.go.
//
// It refuses to know where a configuration came from, what was in force before, and who observes.
package compile
