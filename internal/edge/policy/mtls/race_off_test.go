//go:build !race

package mtls

const raceEnabled = false
