package doctor

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"straum.dev/straum/internal/box"
)

// clockWarning is how far the clock may be off, as whoever keeps it believes, before it is told.
const clockWarning = 500 * time.Millisecond

// synchronized is the file that systemd-timesyncd touches whenever it is in step (systemd-timesyncd.service(8)).
const synchronized = "/run/systemd/timesync/synchronized"

// lookSync tells whether anybody keeps the clock right.
func lookSync(_ context.Context, p *Patient) []box.Finding {
	why := "Tokens, certificates, sealed cookies, quotas of a day and the ages of what is stored go by the clock: a minute off refuses tokens that are good, or takes ones that are not. Times of several boxes cannot be compared."
	remedy := "apt install systemd-timesyncd, or chrony; then timedatectl shows whether it is in step"
	if p.Facts.Guest.Container != "" {
		remedy = "on the machine around this container: it has the clock"
	}
	_, err := p.Machine.Read(synchronized)
	told := err == nil
	if p.Probes.Clock == nil {
		if told {
			return one(good("systemd-timesyncd keeps it", why))
		}
		return one(unknown("systemd-timesyncd does not keep it, and the kernel cannot be asked whether another does", why, "timedatectl, or chronyc tracking"))
	}
	c, err := p.Probes.Clock()
	switch {
	case err != nil:
		return one(unknown("the kernel cannot be asked: "+cause(err), why, "timedatectl"))
	case !c.InStep && chrony(p.Machine):
		return one(box.Finding{Severity: box.Hint, Is: "chronyd runs, and the kernel does not know whether the clock is in step", Want: "known to the kernel", Why: why,
			Remedy: "chronyc tracking tells; with rtcsync in chrony.conf the kernel knows as well"})
	case !c.InStep:
		return one(box.Finding{Severity: box.Warning, Is: "nobody keeps it in step, as far as the kernel knows", Want: "kept by NTP", Why: why, Remedy: remedy})
	case c.Offset.Abs() > clockWarning:
		return one(box.Finding{Severity: box.Warning, Is: "in step, but " + short(c.Offset.Abs()) + " still to be corrected", Want: "below " + short(clockWarning), Why: why,
			Cost: "the clock is " + short(c.Offset.Abs()) + " off", Remedy: "timedatectl timesync-status, or chronyc tracking, says why; chronyc makestep corrects it at once"})
	}
	is := "kept in step"
	if told {
		is += " by systemd-timesyncd"
	}
	return one(good(is, why))
}

// chrony says whether chronyd runs: it keeps the clock without a word to the kernel, unless it is told to.
func chrony(m *box.Machine) bool {
	for _, file := range []string{"/run/chrony/chronyd.pid", "/run/chronyd.pid"} {
		if _, err := m.Read(file); err == nil || errors.Is(err, fs.ErrPermission) { // its directory, which is there while it runs, is its own
			return true
		}
	}
	return false
}
