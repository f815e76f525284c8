package profile

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"
)

// What a handshake costs both sides together, over a pipe in memory: the figures in the documents come from here.
func BenchmarkHandshake(b *testing.B) {
	for _, postQuantum := range []bool{false, true} {
		for _, resumed := range []bool{false, true} {
			b.Run(fmt.Sprintf("postquantum=%v/resumed=%v", postQuantum, resumed), func(b *testing.B) {
				config := server(b, Settings{PostQuantum: postQuantum})
				client := client(ClientSettings{Insecure: true}, "a.example")
				client.CurvePreferences = curves(postQuantum)
				if !resumed {
					client.ClientSessionCache = nil
				}
				shake := func() {
					near, far := net.Pipe()
					done := make(chan error, 1)
					go func() {
						s := tls.Server(far, config)
						err := s.Handshake()
						if err == nil {
							_, err = s.Write([]byte("x"))
						}
						done <- err
					}()
					c := tls.Client(near, client)
					if _, err := io.ReadFull(c, make([]byte, 1)); err != nil { // the ticket comes before it
						b.Fatal(err)
					}
					if err := <-done; err != nil {
						b.Fatal(err)
					}
					near.Close()
				}
				shake()
				b.ReportAllocs()
				for b.Loop() {
					shake()
				}
			})
		}
	}
}
