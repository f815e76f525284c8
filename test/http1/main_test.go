package http1

import (
	"os"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// front starts a gateway in front of an endpoint and returns its address. upstream is what the upstream has besides its endpoint, as
// YAML indented by four.
func front(t *testing.T, handle wire.Handle, upstream string) string {
	t.Helper()
	addr, _ := frontSeen(t, handle, upstream)
	return addr
}

// frontSeen is front for tests that look at the gateway too.
func frontSeen(t *testing.T, handle wire.Handle, upstream string) (string, *gateway.Gateway) {
	t.Helper()
	addr := gateway.Free(t)
	config, addr := secured(t, gateway.Simple(addr, []string{wire.Listen(t, handle).Addr}, upstream), addr)
	return addr, gateway.Start(t, config)
}

// frontBy is front with settings of the listener, as YAML indented by four.
func frontBy(t *testing.T, handle wire.Handle, listener string) string {
	t.Helper()
	addr := gateway.Free(t)
	config, addr := secured(t, `
listeners:
  - address: `+addr+`
`+listener+`
upstreams:
  app:
    endpoints: ["`+wire.Listen(t, handle).Addr+`"]
routes:
  - { name: all, match: { path: /* }, upstream: app }
`, addr)
	gateway.Start(t, config)
	return addr
}
