//go:build race

package exchange

const raceEnabled = true // the race detector allocates, so allocation tests are skipped
