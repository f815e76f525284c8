// Package process starts a program pinned to one core and reads from /proc what it and its children have used:
// processor time, and memory now and at its highest. It serves the bench only.
//
// It judges nothing and knows no gateway. It works on Linux, where /proc and processor affinity are.
package process
