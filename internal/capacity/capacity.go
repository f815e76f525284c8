// Package capacity turns measurements into a verdict: what load a box carries at a stated time, what gives out first, how far that is from
// what it had to carry lately, and what a given load needs.
//
// It serves no step of a request. It is pure: measurements and times come in, the next measurement to make and the verdict go out. It
// refuses a verdict while the box is robbed of its processors' time, and a number that no run has borne out.
package capacity
