//go:build !race

package transformjson

const raceEnabled = false
