// Package coded proves from outside, with the whole program, what becomes of answers that are compressed, of requests that are rewritten
// and of those that are copied to a second upstream.
package coded

import (
	"os"
	"testing"

	"straum.dev/straum/test/gateway"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }
