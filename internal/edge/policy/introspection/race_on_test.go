//go:build race

package introspection

const race = true
