//go:build !race

package securityheaders

const raceEnabled = false
