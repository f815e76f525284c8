//go:build !linux

package listen

import (
	"net"
	"testing"
)

const parks = false

func cork(*testing.T, net.Conn) {}

var roles map[string]func()

func wakeStale(*lot) {} // no events here
