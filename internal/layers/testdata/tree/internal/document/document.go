// Package document is a leaf.
package document
