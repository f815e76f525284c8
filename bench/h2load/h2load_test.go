package h2load

import "testing"

const output = `starting benchmark...
spawning thread #0: 8 total client(s). Timing-based test with 0s of warm-up time and 2s of main duration for measurements.
Warm-up started for thread #0.
TLS Protocol: TLSv1.3
Cipher: TLS_AES_128_GCM_SHA256
Server Temp Key: X25519 253 bits
Application protocol: h2

finished in 2.00s, 91043.00 req/s, 12.42MB/s
requests: 182090 total, 182346 started, 182089 done, 182086 succeeded, 3 failed, 1 errored, 2 timeout
status codes: 182086 2xx, 0 3xx, 0 4xx, 0 5xx
`

func TestFiguresAreReadFromTheOutput(t *testing.T) {
	f, err := parse(output)
	want := Figures{Requests: 182086, Errors: 6, Protocol: "h2", TLS: "TLSv1.3", Suite: "TLS_AES_128_GCM_SHA256", Key: "X25519 253 bits"}
	if err != nil || f != want {
		t.Fatalf("parse = %+v, %v; want %+v", f, err, want)
	}
}

func TestOutputWithoutAnswersIsRefused(t *testing.T) {
	for _, out := range []string{
		"",
		"requests: 0 total\n",
		"requests: 8 total, 8 started, 8 done, 0 succeeded, 8 failed, 8 errored, 0 timeout\n",
	} {
		if f, err := parse(out); err == nil {
			t.Errorf("parse(%q) = %+v, want an error", out, f)
		}
	}
}
