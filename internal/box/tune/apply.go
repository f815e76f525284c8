package tune

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"straum.dev/straum/internal/box/setting"
	"straum.dev/straum/internal/wording"
)

// Outcome is what was done.
type Outcome struct {
	Plan   *Plan    `json:"plan,omitempty"` // of apply
	Values []Done   `json:"values"`
	Files  []Done   `json:"files"`
	Left   []Left   `json:"left,omitempty"`  // of undo: what somebody else has set since
	Steps  []string `json:"steps,omitempty"` // what has to follow, as commands or in words
}

func newOutcome(p *Plan) *Outcome { return &Outcome{Plan: p, Values: []Done{}, Files: []Done{}} }

// Done is a value or a drop-in that was written, or was to be.
type Done struct {
	What    string `json:"what"` // key or path
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
	Now     string `json:"now,omitempty"`     // of a value: what the kernel says after the write
	Problem string `json:"problem,omitempty"` // why it is not as it should be; empty when it is
}

// Left is what undo did not touch.
type Left struct {
	What string `json:"what"`
	Was  string `json:"was"` // before tune
	Is   string `json:"is"`
}

// Failed says that something was not done.
func (o *Outcome) Failed() bool {
	problem := func(d Done) bool { return d.Problem != "" }
	return slices.ContainsFunc(o.Values, problem) || slices.ContainsFunc(o.Files, problem)
}

// Apply follows the verdicts: it records what was, writes the values, reads them again, and writes the drop-ins of those that the kernel took.
// What fails is told in the outcome, and the rest is done all the same. The error is for what kept it from beginning, or from recording.
func (t *Tuner) Apply(verdicts []setting.Verdict, now time.Time) (*Outcome, error) {
	p, err := t.Plan(verdicts)
	if err != nil {
		return nil, err
	}
	if p.Empty() {
		return newOutcome(p), nil
	}
	release, err := t.lock()
	if err != nil {
		return nil, err
	}
	defer release()
	if p, err = t.Plan(verdicts); err != nil { // another one may have been at work before we had the lock
		return nil, err
	}
	o := newOutcome(p)
	r, err := t.load()
	if err != nil || p.Empty() {
		return o, err
	}
	if r == nil {
		r = &record{Version: 1, Made: now.UTC()}
	}
	refused, err := t.setValues(r, p, o)
	if err != nil {
		return o, err
	}
	lines := slices.DeleteFunc(slices.Clone(p.lines), func(l line) bool { return refused[l.file] })
	if err := t.drop(p, lines); err != nil {
		return o, err
	}
	return o, t.writeFiles(r, p, o)
}

// setValues writes the values into the kernel. refused are the files whose values it did not take.
func (t *Tuner) setValues(r *record, p *Plan, o *Outcome) (refused map[string]bool, err error) {
	refused = map[string]bool{}
	if len(p.Values) == 0 {
		return refused, nil
	}
	for _, v := range p.Values {
		was, err := t.live(v.File)
		if err != nil {
			return nil, err
		}
		r.set(v.Key, v.File, was.raw, v.Set)
	}
	if err := t.save(r); err != nil {
		return nil, fmt.Errorf("nothing was changed, since what was cannot be recorded: %w", err)
	}
	now := map[string]string{}
	for _, v := range p.Values {
		d := Done{What: v.Key, From: v.Is, To: v.Set}
		if err := t.disk().Poke(t.Machine.Path(v.File), []byte(v.Set+"\n")); err != nil {
			d.Problem = "cannot be written: " + wording.Cause(err).Error()
			refused[v.File] = true
		}
		if is, err := t.live(v.File); err != nil {
			d.Problem = "cannot be read again: " + wording.Cause(err).Error()
		} else {
			d.Now, now[v.File] = is.text, is.text
			switch {
			case d.Problem != "" || same(is.text, v.Set):
			case same(is.text, v.Is):
				d.Problem = "the kernel did not take it"
				refused[v.File] = true
			default:
				d.Problem = "the kernel made it " + is.text
			}
		}
		o.Values = append(o.Values, d)
	}
	r.settle(now)
	return refused, nil
}

// writeFiles writes the drop-ins.
func (t *Tuner) writeFiles(r *record, p *Plan, o *Outcome) error {
	for _, f := range p.Files {
		was, err := t.stored(f.Path)
		if err != nil {
			return err
		}
		r.write(f.Path, was, f.Want)
		if dir := path.Dir(f.Path); !slices.Contains(r.Dirs, dir) {
			if _, err := t.disk().Lstat(t.at(dir)); err != nil {
				r.Dirs = append(r.Dirs, dir)
			}
		}
	}
	if err := t.save(r); err != nil { // it has what became of the values, too
		return fmt.Errorf("no drop-in was written, since what was cannot be recorded: %w", err)
	}
	for _, f := range p.Files {
		d := Done{What: f.Path}
		if err := t.replace(f); err != nil {
			d.Problem = "cannot be written: " + wording.Cause(err).Error()
		}
		o.Files = append(o.Files, d)
		if f.Path == unitDropIn && d.Problem == "" {
			o.Steps = append(o.Steps, "systemctl daemon-reload")
		}
	}
	queue := slices.ContainsFunc(o.Values, func(d Done) bool { return d.What == "net.core.somaxconn" && d.Problem == "" })
	switch {
	case len(o.Steps) > 0 || queue && t.unit():
		o.Steps = append(o.Steps, "systemctl restart straum")
	case queue:
		o.Steps = append(o.Steps, "start the gateway anew, if it runs")
	}
	return nil
}

// replace puts a drop-in in its place as a whole.
func (t *Tuner) replace(f File) error {
	was, err := t.stored(f.Path)
	if err != nil {
		return err
	}
	if dir := path.Dir(f.Path); !was.there {
		if _, err := t.disk().Lstat(t.at(dir)); err != nil {
			if err := t.disk().Mkdir(t.at(dir), 0o755); err != nil {
				return err
			}
		}
	}
	return t.put(f.Path, []byte(f.Want), was.mode, was.uid, was.gid)
}

func (t *Tuner) put(name string, data []byte, mode fs.FileMode, uid, gid int) error {
	under := t.at(underWay(name))
	if err := t.disk().Create(under, data, mode, uid, gid); err != nil {
		return err
	}
	return t.disk().Rename(under, t.at(name))
}

// underWay is what a file is called until it is whole. The dot hides it from everybody who reads drop-ins.
func underWay(name string) string {
	dir, base := path.Split(name)
	return dir + "." + strings.TrimPrefix(base, ".") + suffix
}
