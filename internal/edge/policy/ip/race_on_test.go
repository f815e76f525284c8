//go:build race

package ip

const raceEnabled = true
