package tune

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"straum.dev/straum/internal/box"
)

// Overruled is a line in another file that is read after ours.
type Overruled struct {
	Key   string `json:"key"`
	File  string `json:"file"`
	Value string `json:"value"`
}

// Where drop-ins lie, the first directory before the others when several have a file of the same name: sysctl.d(5), systemd.unit(5).
var (
	sysctlDirs = []string{"/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"}
	unitDirs   = []string{"/etc/systemd/system/straum.service.d", "/run/systemd/system/straum.service.d", "/usr/local/lib/systemd/system/straum.service.d", "/usr/lib/systemd/system/straum.service.d"}
)

// legacy is read by "sysctl --system" after all drop-ins. systemd reads it only where a link in /etc/sysctl.d leads to it.
const legacy = "/etc/sysctl.conf"

// overruled finds, for each line that our drop-ins have or get, the line that says otherwise later.
func (t *Tuner) overruled(p *Plan) error {
	ours := map[string]string{}
	for i := range dropIns {
		d := &dropIns[i]
		if d.path == tmpDropIn {
			continue
		}
		text, err := t.text(d.path)
		if err != nil {
			return err
		}
		for _, f := range p.Files {
			if f.Path == d.path {
				text = f.Want
			}
		}
		for l := range strings.Lines(text) {
			if key, value, ok := d.read(l); ok && key != "ExecStartPre" {
				ours[key] = value
			}
		}
	}
	last := map[string]Overruled{}
	for _, file := range t.after(sysctlDirs) {
		t.note(file, readSysctl, ours, last)
	}
	t.note(legacy, readSysctl, ours, last)
	for _, file := range t.after(unitDirs) {
		t.note(file, readUnit, ours, last)
	}
	for key, o := range last {
		if !same(o.Value, ours[key]) {
			p.Overruled = append(p.Overruled, o)
		}
	}
	slices.SortFunc(p.Overruled, func(a, b Overruled) int { return strings.Compare(a.Key, b.Key) })
	return nil
}

// after are the files in these directories that are read after ours, in that order.
func (t *Tuner) after(dirs []string) (files []string) {
	byName := map[string]string{}
	for _, dir := range dirs {
		names, err := t.disk().ReadDir(t.at(dir))
		if err != nil {
			continue
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".conf") && name > path.Base(sysctlDropIn) && byName[name] == "" {
				byName[name] = dir + "/" + name
			}
		}
	}
	names := make([]string, 0, len(byName))
	for name := range byName {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		files = append(files, byName[name])
	}
	return files
}

// note remembers what a file says of our keys. A key with wildcards gives way to one without, wherever that stands, as systemd has it.
func (t *Tuner) note(file string, read func(string) (string, string, bool), ours map[string]string, last map[string]Overruled) {
	text, err := t.text(file)
	if err != nil {
		return // what cannot be read by root is read by nobody else at boot
	}
	for l := range strings.Lines(text) {
		if key, value, ok := read(l); ok {
			if _, is := ours[key]; is {
				last[key] = Overruled{key, file, value}
			}
		}
	}
}

// text is that of a file, empty when there is none. Links are followed below our root.
func (t *Tuner) text(file string) (string, error) {
	m := box.Machine{Root: t.Root}
	data, err := t.disk().ReadFile(m.Path(file))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(data), err
}
