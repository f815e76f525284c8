package doctor

import (
	"context"
	"fmt"
	bitsets "math/bits"
	"os"
	"strconv"
	"strings"

	"straum.dev/straum/internal/box"
)

// What of a process's capabilities a gateway has a use for (capabilities(7)): ports below 1024, and the kernel's packet filter for bans.
const (
	capNetBind  = 1 << 10
	capNetAdmin = 1 << 12
	capDACRead  = 1 << 2
)

// lookRights tells what the running gateway may do, and so what somebody who takes it over may.
func lookRights(_ context.Context, p *Patient) []box.Finding {
	if p.Running == nil {
		return nil
	}
	why := "Whoever finds a mistake in a program that faces the Internet may do what it may."
	if p.unseen() {
		return one(unknown(notHere, why, "straum doctor in that container"))
	}
	file := p.process() + "/status"
	uid, okUID := statusField(p.Machine, file, "Uid:")
	caps, okCaps := statusField(p.Machine, file, "CapEff:")
	gain, _ := statusField(p.Machine, file, "NoNewPrivs:")
	if !okUID || !okCaps {
		return one(unknown("what the gateway may do is not known: "+file+" does not say", why, ""))
	}
	has, err := strconv.ParseUint(caps, 16, 64)
	if err != nil {
		return one(unknown(file+" holds no capabilities that can be read", why, ""))
	}
	root, beyond := uid == "0", has&^(capNetBind|capNetAdmin|capDACRead)
	is := "it runs as user " + uid
	if root {
		is = "it runs as root"
	}
	is += fmt.Sprintf(" with %d of the kernel's capabilities", bitsets.OnesCount64(has))
	confined := p.Running.Sandbox != "" && len(p.Running.Lacking) == 0
	f := box.Finding{Severity: box.Good, Is: is, Why: why}
	switch {
	case beyond != 0:
		f.Severity, f.Want = box.Warning, "no capabilities but CAP_NET_BIND_SERVICE, and CAP_NET_ADMIN for bans in the kernel"
		f.Is = fmt.Sprintf("%s, of them %d a gateway has no use for", is, bitsets.OnesCount64(beyond))
		f.Remedy = "leave the sandbox on (docs/sandbox.md), and run it by the unit of the package, as a user of its own"
	case gain == "0":
		f.Severity, f.Want = box.Hint, "a process that can gain no privileges"
		f.Is += "; it may gain privileges by running a program"
		f.Remedy = "leave the sandbox on (docs/sandbox.md); NoNewPrivileges=yes in its unit"
	case root && !confined:
		f.Severity, f.Want = box.Hint, "a user of its own"
		f.Why += " Files of root are root's to read and write even without capabilities."
		f.Remedy = "run it by the unit of the package, as user straum"
	}
	return one(f)
}

// lookSandbox tells what of its sandbox the running gateway lacks.
func lookSandbox(_ context.Context, p *Patient) []box.Finding {
	why := "Once it serves, the gateway gives up what it does not need: capabilities, the gaining of privileges, and files beyond those its configuration names."
	switch {
	case p.Running == nil:
		return nil
	case p.Config != nil && p.Config.Sandbox.Off:
		return one(box.Finding{Severity: box.Hint, Is: "sandbox: off", Want: "on", Why: why, Remedy: "remove sandbox: off; name further places under sandbox.read and sandbox.write"})
	case p.Running.Sandbox == "":
		return one(unknown("the gateway does not say what is in force", why, ""))
	case len(p.Running.Lacking) > 0:
		return one(box.Finding{Severity: box.Hint, Is: p.Running.Sandbox + "; lacking: " + cut(strings.Join(p.Running.Lacking, "; "), 300), Want: "all of it", Why: why, Remedy: "docs/sandbox.md says what each part needs"})
	}
	return one(good(p.Running.Sandbox, why))
}

// lookService tells whether somebody starts the gateway again when it ends, and notices when it hangs.
func lookService(_ context.Context, p *Patient) []box.Finding {
	if p.Running == nil {
		return nil
	}
	why := "A gateway that crashes or hangs at night is one that nobody starts again, unless a service manager does."
	if p.unseen() {
		return one(unknown(notHere, why, ""))
	}
	if deleted(p) {
		return one(box.Finding{Severity: box.Hint, Is: "the program of the running gateway was replaced since it started (it is " + p.Running.Version + ")", Want: "the program that is installed",
			Why: "After an upgrade what runs is the old program, with the mistakes that the new one mends.", Remedy: "systemctl restart straum, at a quiet hour"})
	}
	text, err := p.Machine.Read(p.process() + "/environ")
	if err != nil {
		return one(unknown("who started the gateway is not known: "+unread(p.process()+"/environ", err), why, "sudo straum doctor --only service"))
	}
	var manager, watchdog bool
	for variable := range strings.SplitSeq(text, "\x00") { // names alone are looked at: values may be secrets
		name, _, _ := strings.Cut(variable, "=")
		manager = manager || name == "INVOCATION_ID" || name == "NOTIFY_SOCKET"
		watchdog = watchdog || name == "WATCHDOG_USEC"
	}
	switch {
	case !manager && p.Facts.Guest.Container != "":
		return one(unknown("it was started in this container; whether it is started again is for what runs the container", why, "a restart policy for the container (docker run --restart, restart: in a Compose file)"))
	case !manager:
		return one(box.Finding{Severity: box.Hint, Is: "no service manager has started it", Want: "one that starts it again", Why: why, Remedy: "run it by the unit of the package: systemctl enable --now straum"})
	case !watchdog:
		return one(box.Finding{Severity: box.Hint, Is: "a service manager has started it, without a watchdog", Want: "WatchdogSec=30s", Why: why + " With a watchdog it notices one that hangs, too: the gateway answers it only after its listeners answered the gateway.", Remedy: "WatchdogSec=30s and Type=notify in its unit"})
	}
	return one(good("a service manager with a watchdog", why))
}

// lookAttention passes on what the running gateway says needs somebody.
func lookAttention(_ context.Context, p *Patient) (out []box.Finding) {
	if p.Running == nil {
		return nil
	}
	for _, reason := range p.Running.Attention {
		out = append(out, box.Finding{Severity: box.Warning, Is: cut(reason, 300), Want: "nothing that needs somebody", Why: "The gateway says so itself: it works for now.", Remedy: "straum status; straum certificates"})
	}
	if len(out) == 0 {
		out = append(out, good("the running gateway asks for nobody", "It tells of certificates, stores and issuers that need somebody although all works."))
	}
	return out
}

// statusField is the first word behind a name in /proc/PID/status.
func statusField(m *box.Machine, file, name string) (string, bool) {
	text, err := m.Read(file)
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				return f[0], true
			}
		}
	}
	return "", false
}

// deleted says whether the file the gateway was started from is another by now.
func deleted(p *Patient) bool {
	to, err := os.Readlink(p.Machine.Path(p.process() + "/exe"))
	return err == nil && strings.HasSuffix(to, " (deleted)")
}
