//go:build race

package edge_test

const raceEnabled = true // the race detector allocates, so allocation tests are skipped
