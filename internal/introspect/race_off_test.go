//go:build !race

package introspect

const race = false
