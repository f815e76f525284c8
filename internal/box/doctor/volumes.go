package doctor

import (
	"path/filepath"
	"strings"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/wording"
)

// volume is a directory the gateway writes to.
type volume struct {
	name string // log, cache, state
	path string
	size int64 // bytes it may take there; 0 is not bounded
}

// volumes are the directories of a configuration, in a fixed order. Logs that go elsewhere than to a file have none.
func volumes(c *config.Config) (all []volume) {
	if c == nil {
		return nil
	}
	state := config.Beside(c.Node, c.State)
	if to := c.Log.Access.To; to != "stdout" && to != "stderr" && to != "off" && !strings.HasPrefix(to, "/dev/") {
		all = append(all, volume{name: "log", path: filepath.Dir(to)})
	}
	if d := c.Cache.Disk; d != nil {
		path := filepath.Join(state, "cache")
		if d.Path != "" {
			path = config.Beside(d.Node, d.Path)
		}
		all = append(all, volume{name: "cache", path: path, size: int64(d.Size)})
	}
	return append(all, volume{name: "state", path: state})
}

// Volumes are the directories a configuration writes to, by what for: log, cache, state.
func Volumes(c *config.Config) map[string]string {
	out := map[string]string{}
	for _, v := range volumes(c) {
		out[v.name] = v.path
	}
	return out
}

// nearest is a directory, or the closest one above it that is there: what will be made lies on the same volume.
func (p *Patient) nearest(directory string) string {
	for p.Probes.There != nil && !p.Probes.There(directory) {
		up := filepath.Dir(directory)
		if up == directory {
			break
		}
		directory = up
	}
	return directory
}

// place names a volume's directory, and where it was looked at instead.
func place(v volume, at string) string {
	if at == v.path {
		return v.path
	}
	return v.path + " (not there yet, seen at " + at + ")"
}

// key is where the configuration says where a volume is.
func key(v volume) string {
	return map[string]string{"log": "log.access.to", "cache": "cache.disk.path", "state": "state"}[v.name]
}

// of says which volume a finding is about.
func of(v volume, f box.Finding) box.Finding {
	f.Subject = v.name
	return f
}

// cause is why something could not be done, without the path and the call that errors of files repeat.
func cause(err error) string {
	return strings.TrimPrefix(cut(wording.Cause(err).Error(), 120), "os: ")
}
