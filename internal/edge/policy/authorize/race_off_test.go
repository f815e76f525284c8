//go:build !race

package authorize

const racing = false
