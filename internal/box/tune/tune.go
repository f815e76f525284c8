// Package tune sets what rules propose (package setting), for now and for every start to come, and puts it back: it writes the values into the
// kernel and drop-ins for sysctl, the gateway's unit and tmpfiles, each line with its reason.
//
// It serves no step of a request. It refuses to change anything before it has recorded what was, so that undo is exact whenever it stops;
// to write what this guest may not set; and to overwrite, in undo, what somebody else has set since.
package tune

import (
	"errors"
	"path/filepath"
	"strings"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/setting"
	"straum.dev/straum/internal/wording"
)

// The drop-ins, as seen on the box. The third is written only where something is set that sysctl has no key for.
const (
	sysctlDropIn = "/etc/sysctl.d/60-straum.conf"
	unitDropIn   = setting.UnitDropIn
	tmpDropIn    = "/etc/tmpfiles.d/60-straum.conf"
)

// Tuner sets and puts back. It keeps nothing between calls; a lock on the box keeps two of them apart.
type Tuner struct {
	Machine *box.Machine // whose values are read and written
	Root    string       // below which drop-ins and the record lie: "/", or a directory of a test
	Disk    Disk         // nil is the real one
	AsRoot  bool         // Plan what root could do, whoever asks
}

// Plan is what would be done.
type Plan struct {
	Values    []Value     `json:"values"`    // to be written into the kernel now
	Files     []File      `json:"files"`     // drop-ins that change
	Refused   []Refusal   `json:"refused"`   // proposed, but not for this guest to set
	Overruled []Overruled `json:"overruled"` // files that are read after ours and say otherwise

	lines []line // what goes into the drop-ins
}

// Value is one setting of the kernel.
type Value struct {
	Key  string `json:"key"`
	File string `json:"file"` // as seen on the box
	Is   string `json:"is"`
	Set  string `json:"set"`
	Why  string `json:"why"`
}

// File is one drop-in.
type File struct {
	Path  string `json:"path"` // as seen on the box
	There bool   `json:"there"`
	Is    string `json:"is"` // its text
	Want  string `json:"want"`
}

// Refusal is a proposal that is not followed.
type Refusal struct {
	Key string `json:"key"`
	Set string `json:"set"`
	Why string `json:"why"`
}

// Empty says that all is as it should be, as far as this guest may set it.
func (p *Plan) Empty() bool { return len(p.Values) == 0 && len(p.Files) == 0 }

// Plan looks what has to be done to follow the verdicts, and does nothing.
func (t *Tuner) Plan(verdicts []setting.Verdict) (*Plan, error) {
	p := &Plan{Values: []Value{}, Files: []File{}, Refused: []Refusal{}, Overruled: []Overruled{}} // empty lists are [] in JSON
	for _, v := range verdicts {
		if v.Set == "" {
			continue
		}
		l := line{key: v.ID, value: v.Set, file: v.File, why: v.Why}
		if v.File == unitDropIn {
			p.lines = append(p.lines, l)
			continue
		}
		if !mayWrite(v.ID, v.File) {
			return nil, errors.New("the rule of " + v.ID + " wants " + v.File + " written, which is none of the files of settings")
		}
		if err := setting.Forbidden(t.Machine, v.ID, v.File); err != nil && !(t.AsRoot && setting.RootMay(err)) {
			p.Refused = append(p.Refused, Refusal{v.ID, v.Set, err.Error()})
			continue
		}
		is, err := t.live(v.File)
		if err != nil {
			p.Refused = append(p.Refused, Refusal{v.ID, v.Set, "cannot be read: " + wording.Cause(err).Error()})
			continue
		}
		p.lines = append(p.lines, l)
		if !same(is.text, v.Set) {
			p.Values = append(p.Values, Value{v.ID, v.File, is.text, v.Set, v.Why})
		}
	}
	if err := t.drop(p, p.lines); err != nil {
		return nil, err
	}
	return p, t.overruled(p)
}

// drop fills in the drop-ins that change for these lines, and those that must not be touched as an error.
func (t *Tuner) drop(p *Plan, lines []line) error {
	p.Files = p.Files[:0]
	for _, d := range dropIns {
		was, err := t.stored(d.path)
		if err != nil {
			return err
		}
		var mine []line
		for _, l := range lines {
			if d.takes(l) {
				mine = append(mine, l)
			}
		}
		if d.path == unitDropIn {
			mine = append(mine, t.conntrackAtStart(lines)...)
		}
		if want := d.edit(string(was.data), mine); want != string(was.data) {
			p.Files = append(p.Files, File{d.path, was.there, string(was.data), want})
		}
	}
	return nil
}

// conntrackAtStart has the keys of conntrack set once more as the gateway's unit starts: at boot sysctl runs before the firewall
// has loaded the module, and the keys are not there.
func (t *Tuner) conntrackAtStart(lines []line) []line {
	for _, l := range lines {
		if !strings.HasPrefix(l.key, "net.netfilter.") {
			continue
		}
		if t.unit() {
			return []line{{key: "ExecStartPre", value: "-+/usr/lib/systemd/systemd-sysctl --prefix=/net/netfilter", file: unitDropIn,
				why: "At boot sysctl runs before connections are tracked, and finds no such keys. Set them again now."}}
		}
	}
	return nil
}

// unit says whether there is a unit of the gateway.
func (t *Tuner) unit() bool {
	for _, dir := range []string{"/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"} {
		if _, err := t.disk().Lstat(t.at(dir + "/systemd/system/straum.service")); err == nil {
			return true
		}
	}
	return false
}

// at is where a file lies for us that is no setting of the kernel.
func (t *Tuner) at(name string) string { return filepath.Join(t.Root, name) }

func (t *Tuner) disk() Disk {
	if t.Disk == nil {
		return osDisk{}
	}
	return t.Disk
}

// reading is a setting of the kernel as it was read.
type reading struct {
	raw  string // every byte of it, which is what is written back
	text string // with single spaces; of a choice such as "always [madvise] never" the marked word
}

func (t *Tuner) live(file string) (reading, error) {
	data, err := t.disk().ReadFile(t.Machine.Path(file))
	if err != nil {
		return reading{}, err
	}
	r := reading{string(data), words(string(data))}
	if strings.HasPrefix(file, "/sys/") {
		if _, after, ok := strings.Cut(r.text, "["); ok {
			r.text, _, _ = strings.Cut(after, "]")
			r.raw = r.text + "\n"
		}
	}
	return r, nil
}

// mayWrite says that a file is that of a rule's setting. What the record says is held against it too: whoever could write the record
// could have anything written else.
func mayWrite(key, file string) bool {
	for _, r := range setting.Rules() {
		if r.Key != key {
			continue
		}
		return file == box.Sysctl(key) && strings.Contains(key, ".") ||
			key == "thp" && file == "/sys/kernel/mm/transparent_hugepage/enabled" ||
			key == "net.netfilter.nf_conntrack_buckets" && file == "/sys/module/nf_conntrack/parameters/hashsize"
	}
	return false
}

func words(text string) string { return strings.Join(strings.Fields(text), " ") }

func same(a, b string) bool { return words(a) == words(b) }
