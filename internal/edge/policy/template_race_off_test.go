//go:build !race

package policy

const templateRacing = false
