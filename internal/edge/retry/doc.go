// Package retry decides, in the loop around steps 6 and 7 of an exchange, whether a failed attempt is followed by another
// one and when. Rules.Decide weighs the single exchange (was it sent, may it be repeated, is there time); a Budget weighs
// all exchanges of an upstream together, so that retries cannot multiply the load of an upstream in trouble.
//
// The package sends nothing, waits for nothing and reads no clock; time and randomness are arguments. It does not choose
// the endpoint of the next attempt: that is step 6.
package retry
