// Package wire lets tests speak HTTP/1.1 byte by byte and HTTP/2 frame by frame: clients that send exactly what they are told and an
// endpoint that shows exactly what it was sent. It shares no code with the gateway except the library for single frames, and none
// with net/http, so that neither hides what the other does.
//
// Everything waits for at most Patience, which nothing is expected to take. What goes wrong fails the test and ends the goroutine.
package wire
