// Package plan is part of load.
package plan
