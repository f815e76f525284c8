//go:build race

package flight

const raceEnabled = true // the race detector allocates, so allocation tests are skipped
