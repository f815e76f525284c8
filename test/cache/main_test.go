// Package cache proves the cache from outside, with the whole program: by the public suite of tests for HTTP caches (npm: http-cache-tests),
// with 500 clients on one key, over crashes, full disks, outages of endpoints and of Redis, and by the commands that an operator has.
package cache

import (
	"os"
	"testing"

	"straum.dev/straum/test/gateway"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }
