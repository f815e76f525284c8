package tune

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"straum.dev/straum/internal/wording"
)

// Undo puts back what was before the first Apply: values as the kernel had them, drop-ins byte for byte with mode and owner, or none. What
// somebody else has set since is left, unless force says otherwise, and stays on record. nil without an error is: there was nothing to undo.
func (t *Tuner) Undo(force bool) (*Outcome, error) {
	if _, err := t.disk().Lstat(t.at(stateDir)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	release, err := t.lock()
	if err != nil {
		return nil, err
	}
	defer release()
	r, err := t.load()
	if err != nil || r == nil {
		if err == nil {
			t.sweep()
		}
		return nil, err
	}
	o := newOutcome(nil)
	rest := *r
	rest.Values, rest.Files = nil, nil
	// The last first: the order in which rules set them can matter.
	for _, v := range slices.Backward(r.Values) {
		if !t.unset(&v, force, o) {
			rest.Values = append(rest.Values, v)
		}
	}
	slices.Reverse(rest.Values)
	for _, f := range r.Files {
		if !t.unwrite(&f, force, o) {
			rest.Files = append(rest.Files, f)
		}
	}
	t.sweep()
	if len(rest.Values)+len(rest.Files) > 0 {
		if len(rest.Values) == len(r.Values) && len(rest.Files) == len(r.Files) {
			return o, nil // the record is right as it is
		}
		if err := t.save(&rest); err != nil {
			return o, fmt.Errorf("the record cannot be written; undo again: %w", err)
		}
		return o, nil
	}
	for _, dir := range r.Dirs {
		_ = t.disk().Remove(t.at(dir)) // fails when somebody has put something there
	}
	if err := t.disk().Remove(t.at(recordFile)); err != nil {
		return o, fmt.Errorf("all is as it was, but the record cannot be removed: %w", err)
	}
	return o, nil
}

// unset puts a value back, and says whether it is settled.
func (t *Tuner) unset(v *wasValue, force bool, o *Outcome) bool {
	is, err := t.live(v.File)
	if errors.Is(err, fs.ErrNotExist) {
		return true // what it belonged to is gone, and its next life begins with the kernel's own value
	}
	d := Done{What: v.Key, From: is.text, To: words(v.Was)}
	switch {
	case err != nil:
		d.Problem = "cannot be read: " + wording.Cause(err).Error()
		o.Values = append(o.Values, d)
		return false
	case same(is.text, v.Was):
		return true
	case !force && !v.Pending && !slices.ContainsFunc(v.Set, func(set string) bool { return same(set, is.text) }):
		o.Left = append(o.Left, Left{v.Key, words(v.Was), is.text})
		return false
	}
	if err := t.disk().Poke(t.Machine.Path(v.File), []byte(v.Was)); err != nil {
		d.Problem = "cannot be written: " + wording.Cause(err).Error()
	}
	if is, err := t.live(v.File); err != nil {
		d.Problem = "cannot be read again: " + wording.Cause(err).Error()
	} else if d.Now = is.text; d.Problem == "" && !same(is.text, v.Was) {
		d.Problem = "the kernel made it " + is.text
	}
	o.Values = append(o.Values, d)
	return d.Problem == ""
}

// unwrite puts a drop-in back, and says whether it is settled.
func (t *Tuner) unwrite(f *wasFile, force bool, o *Outcome) bool {
	d := Done{What: f.Path}
	is, err := t.stored(f.Path)
	switch {
	case err != nil:
		o.Left = append(o.Left, Left{f.Path, "as recorded", "changed: " + err.Error()})
		return false
	case is.is(f):
		return true
	case !force && !(is.there && slices.Contains(f.Wrote, hash(is.data))):
		what := "edited"
		if !is.there {
			what = "removed"
		}
		o.Left = append(o.Left, Left{f.Path, "as recorded", what + " since"})
		return false
	case !f.There:
		err = t.disk().Remove(t.at(f.Path))
	default:
		if dir := path.Dir(f.Path); !is.there {
			if _, e := t.disk().Lstat(t.at(dir)); e != nil {
				err = t.disk().Mkdir(t.at(dir), 0o755)
			}
		}
		if err == nil {
			err = t.put(f.Path, f.Data, f.Mode, f.UID, f.GID)
		}
	}
	if err != nil {
		d.Problem = "cannot be put back: " + wording.Cause(err).Error()
	} else if f.Path == unitDropIn {
		o.Steps = append(o.Steps, "systemctl daemon-reload")
	}
	o.Files = append(o.Files, d)
	return err == nil
}

// sweep removes what a run that broke off has left under way.
func (t *Tuner) sweep() {
	for _, d := range dropIns {
		t.disk().Remove(t.at(underWay(d.path)))
	}
	t.disk().Remove(t.at(recordFile + suffix))
}
