package config

import (
	"strings"

	"straum.dev/straum/internal/document"
)

// Sandbox is what the process keeps of its rights once it serves.
type Sandbox struct {
	Off      bool     `yaml:",off"`
	Read     []string `yaml:"read" length:"0..64" doc:"Absolute paths of directories and files that may be read besides those that the configuration names at the start, so that a later one may name files there."`
	Write    []string `yaml:"write" length:"0..64" doc:"Absolute paths of directories that may be written to besides those that the configuration names at the start, such as where the log goes next."`
	Required bool     `yaml:"required" default:"false" doc:"Do not start when a part of the sandbox cannot be had, as on an old kernel or with acme.dns.program. Otherwise what is lacking is told in the log and by straum status."`

	Node document.Node `yaml:",self"`
}

// sandbox judges what no single key of it can.
func (k *checker) sandbox() {
	s := &k.config.Sandbox
	for _, list := range []struct {
		key   string
		paths []string
	}{{"read", s.Read}, {"write", s.Write}} {
		for i, path := range list.paths {
			if !strings.HasPrefix(path, "/") {
				k.blame(s.Node.At(list.key, i), "found %q; allowed: an absolute path", path)
			}
		}
	}
	if d := k.config.ACME.DNS; s.Required && d != nil && d.Program != nil {
		k.blame(s.Node.Key("required"), "acme.dns.program runs a program, which may need any file that can be read: remove one of the two, or answer dns-01 with rfc2136")
	}
}
