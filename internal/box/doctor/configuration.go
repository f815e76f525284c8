package doctor

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/wording"
)

// lookConfiguration tells of a file with mistakes: a gateway that runs goes on with what was before, and one that is started does not come up.
func lookConfiguration(_ context.Context, p *Patient) []box.Finding {
	switch {
	case p.Config != nil:
		return one(good(p.File+" has no mistakes", "A gateway that starts or reloads takes it."))
	case p.Mistakes == nil:
		return nil
	}
	why := "A gateway that runs goes on with the configuration it had, but one that is started now, as after a crash or a reboot, does not come up. What depends on the configuration was not looked at."
	// Files of secrets are named in problems by their text alone.
	if errors.Is(p.Mistakes, fs.ErrPermission) || strings.Contains(p.Mistakes.Error(), syscall.EACCES.Error()) {
		return one(unknown("this user may not read "+p.File+" or what it names", why, "sudo straum doctor"))
	}
	is := p.File + " cannot be read: " + cut(p.Mistakes.Error(), 200)
	var problems *document.Problems
	if errors.As(p.Mistakes, &problems) {
		is = p.File + " has " + wording.Count(problems.Len()+problems.Dropped(), "mistake") + "; the first: " + cut(problems.All()[0].Error(), 200)
	}
	return one(box.Finding{
		Severity: box.Bad, Is: is, Want: "no mistakes",
		Why:    why + " Where it says ${NAME}, the environment of this command and that of the gateway may differ.",
		Remedy: "straum check -c " + p.File,
	})
}
