// Package util has no row.
package util
