// Package report is part of bench.
package report
