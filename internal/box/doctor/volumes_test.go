package doctor

import (
	"context"
	"maps"
	"testing"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/config"
)

// TestVolumesAreWhereTheGatewayWrites reads them off configurations as the gateway does: relative to the file, but for the log.
func TestVolumesAreWhereTheGatewayWrites(t *testing.T) {
	const rest = "\nlisteners: [{ address: ':80' }]\nupstreams: { a: { endpoints: ['10.0.0.1:80'] } }\nroutes: [{ name: a, match: { path: '/*' }, upstream: a }]\n"
	for text, want := range map[string]map[string]string{
		"":                                 {"state": "/var/lib/straum"},
		"state: here\ncache: { disk: {} }": {"state": "/etc/straum/here", "cache": "/etc/straum/here/cache"},
		"cache: { disk: { path: ../c } }\nlog: { access: { to: /var/log/s/a.log } }": {"state": "/var/lib/straum", "cache": "/etc/c", "log": "/var/log/s"},
		"log: { access: { to: /dev/stderr } }":                                       {"state": "/var/lib/straum"},
		"log: { access: { to: 'off' } }":                                             {"state": "/var/lib/straum"},
	} {
		c, err := config.Parse("/etc/straum/straum.yaml", []byte(text+rest), config.Options{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := Volumes(c); !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
	if got := Volumes(nil); len(got) != 0 {
		t.Errorf("no configuration: %v", got)
	}
}

// TestOneDirectoryIsMeasuredOnce has log and state share a directory.
func TestOneDirectoryIsMeasuredOnce(t *testing.T) {
	p := patient(t, "bare", nil)
	p.Probes = asked()
	p.Probes.There = func(d string) bool { return d == "/" || d == "/var" }
	asked := 0
	inner := p.Probes.Write
	p.Probes.Write = func(ctx context.Context, dir string) (Writing, error) {
		asked++
		if dir != "/var" {
			t.Errorf("it measures %s", dir)
		}
		return inner(ctx, dir)
	}
	found := Examine(t.Context(), p, []Check{{ID: "disk_latency", Look: lookLatency}}, time.Minute)
	if len(found) != 3 || asked != 1 {
		t.Errorf("measured %d times for %d findings", asked, len(found))
	}
}

// TestQueuesThatAreSpread need no further ones.
func TestQueuesThatAreSpread(t *testing.T) {
	p := patient(t, "kvm-debian12", map[string]string{nic + "queues/rx-0/rps_cpus": "ff\n"})
	p.Facts.Online = 8
	found := Examine(t.Context(), p, []Check{{ID: "nic_queues", Look: lookQueues}}, time.Minute)
	if len(found) != 1 || found[0].Severity != box.Good || found[0].Is != "2 queues for 8 cores, RPS on" {
		t.Errorf("got %+v", found)
	}
}
