//go:build race

package bufpool

const raceEnabled = true // the race detector allocates, so allocation tests are skipped
