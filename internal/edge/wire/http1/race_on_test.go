//go:build race

package http1

const raceEnabled = true // the race detector allocates, so allocation tests are skipped
