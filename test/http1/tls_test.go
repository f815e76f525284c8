package http1

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// overTLS, in the environment, makes all tests of the package speak TLS with the gateway.
const overTLS = "STRAUM_TEST_OVER_TLS"

// secured is a configuration whose listener at addr speaks TLS if it is to, and the address as wire.Dial is to have it.
func secured(t *testing.T, config, addr string) (string, string) {
	t.Helper()
	if os.Getenv(overTLS) == "" {
		return config, addr
	}
	pair := gateway.NewAuthority(t).Issue([]string{"a"})
	for line := range strings.Lines(config) {
		if strings.HasPrefix(line, "  - address: ") {
			return strings.Replace(config, line, line+"    tls: { certificates: ["+pair.YAML()+"] }\n", 1), wire.TLS + addr
		}
	}
	t.Fatalf("no listener in %s", config)
	return "", ""
}

// TestOverTLS plays all tests of the package again, byte by byte within TLS: what holds for HTTP/1.1 holds there too.
func TestOverTLS(t *testing.T) {
	t.Parallel()
	if os.Getenv(overTLS) != "" {
		t.Skip("this is it")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.skip", "Nginx", "-test.v", "-test.timeout", "4m")
	cmd.Env = append(os.Environ(), overTLS+"=1", "STRAUM_PROGRAM="+gateway.Program(t))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if n := strings.Count(string(out), "\n--- PASS: "); n < 20 {
		t.Errorf("only %d tests passed\n%s", n, out)
	}
}
