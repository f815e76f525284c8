//go:build race

package socket

const raceEnabled = true // the race detector allocates, so allocation tests are skipped
