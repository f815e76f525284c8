//go:build !race

package introspection

const race = false
