//go:build !race

package gateway

// Race tells whether the tests run with the race detector; the program is then built with it too.
const Race = false
