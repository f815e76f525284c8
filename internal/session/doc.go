// Package session keeps what the gateway knows of a browser in the browser itself: sealed cookies that nobody else can read, change or
// make. It serves step 4, where a policy that logs browsers in opens them, and step 9, where it sets them.
//
// In reading order: seal.go (the lock), record.go (what is in it: a session, or an attempt to log in), piece.go (how it lies in cookies),
// cookie.go (the fields Cookie and Set-Cookie).
//
// A text that was changed, cut, put together from two, sealed for another purpose or by another key is as if it were not there. Everything
// is bounded: a session takes MaxPieces cookies of PieceSize at most.
//
// It refuses to decide how long a session lasts, and to keep anything itself: what was sealed cannot be called back.
package session
