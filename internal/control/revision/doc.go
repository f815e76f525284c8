// Package revision keeps the configuration in force. It serves no step of a request; it is how a file becomes what all steps run on.
//
// A load goes through these states, and ends at the first that fails:
//
//	read and check ─▶ compile ─▶ process settings ─▶ upstreams prepared ─▶ listeners opened ─▶ snapshot in force ─▶ old upstreams retired
//	     └───────────────┴──────────────┴──────────────────────┴────────────────────┴─▶ refused: what was in force before goes on
//
// What was accepted is numbered from 1. A configuration that cannot be read, checked, compiled or put in force never replaces a
// running one, in no part: what was changed before the failing step is changed back, to what was kept and without reading a file again.
// Loads are done one at a time, whoever asked.
//
// Manager.Watch follows the files: their directories are watched, so that editors and deployments that replace a file are seen, and
// contents are compared, so that only a change of text is a change.
//
// In reading order: manager.go, source.go, watch.go.
//
// It refuses to merge configurations, to guess at a part of a bad one, and to write any.
package revision
