//go:build race

package route

const raceEnabled = true // the race detector allocates, so allocation tests are skipped
