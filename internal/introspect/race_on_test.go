//go:build race

package introspect

const race = true
