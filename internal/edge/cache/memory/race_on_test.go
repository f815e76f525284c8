//go:build race

package memory

const raceEnabled = true // the race detector allocates, so allocation tests are skipped
