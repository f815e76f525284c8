//go:build !race

package load

const race = false
