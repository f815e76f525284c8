// Package certificate keeps the certificates of listeners: reads them from PEM files, checks them, follows the files, and picks the
// one for a handshake. Step 1, listen.
//
// A Store lives as long as the process and holds each pair of files once, however many listeners use it. A Choice is what one
// listener of one revision may show: it is asked at every handshake, takes no lock, allocates nothing, and costs the same for one
// certificate as for ten thousand. When the files of a pair change, every Choice that has it shows the new certificate from the next
// handshake on; handshakes under way end with the one they began with.
//
// What a running listener shows is never replaced by something worse. A new pair that is half written, unreadable, expired or whose
// key belongs to another certificate leaves the old one in place, and is told in the log and in Status until it is mended.
//
// The package refuses to obtain certificates (that is internal/acme, joined by Settings.Fallback) and to speak to responders (that is
// internal/staple, joined by Options.Follow).
package certificate
