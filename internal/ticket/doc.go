// Package ticket makes the keys that session tickets are encrypted with (RFC 5077, RFC 8446 §4.6.1), so that clients resume their
// sessions after a restart as well. Step 1, listen.
//
// Time is cut into periods. Each has a secret; tickets are encrypted with a key of the current period, and those of the period before
// and the one after are understood too, so a ticket is good for one to two periods and clocks may differ.
//
// Secrets come from a Source, of which there are two. File draws them at random and keeps three in a file: it is what a gateway uses.
// Shared derives them from one secret and the number of the period, so that the boxes of a fleet understand each other's tickets
// without any exchange: no key of the configuration leads to it yet.
//
// A listener does not use the secret itself but a key derived from it and from a context, the text that says what makes a session of
// this listener worth something: its name, its rules for client certificates, the authorities behind them. A ticket taken to another
// listener, or to the same one after its rules changed, is worth nothing there.
//
// It refuses to fail a handshake: where a secret cannot be kept, the service goes on with what is in memory and says so. It refuses to
// keep secrets for longer than they are needed, which is what bounds the loss when one is stolen.
package ticket
