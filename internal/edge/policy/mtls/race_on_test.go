//go:build race

package mtls

const raceEnabled = true // the race detector allocates, so allocation tests are skipped
