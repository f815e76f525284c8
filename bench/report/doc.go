// Package report turns the rounds of a side-by-side run into medians, ratios and tables, and keeps the part of the
// results file that people write. It serves the bench only; it measures nothing and starts nothing.
package report
