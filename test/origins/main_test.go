// Package origins proves from outside, with the whole program and with Chromium, which pages of other origins may use an API, and that what the
// policies on fields, redirections and own answers write is taken as it is meant.
package origins

import (
	"os"
	"testing"

	"straum.dev/straum/test/gateway"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }
