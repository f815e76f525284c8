package box

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"straum.dev/straum/internal/wording"
)

// ErrForbidden says that this guest may not write a setting: the file is not there, is read-only, or belongs to the machine around it.
var ErrForbidden = errors.New("this guest may not set it")

// ErrRights says that it is who asks that may not write a setting, and root of this guest may. It is an ErrForbidden, too.
var ErrRights = fmt.Errorf("%w without being root", ErrForbidden)

// Forbidden says why this guest may not set a key of sysctl, wrapping ErrForbidden, or returns nil when it may. It does not write:
// it goes by the file's presence and mode, by whether /proc/sys is mounted read-only, by the effective capabilities of the process and by
// what containers are known to share with the machine around them.
func (m *Machine) Forbidden(key string) error {
	name := Sysctl(key)
	guest := m.guest(nil)
	own := namespaced(key, m.version())
	info, err := os.Stat(m.Path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m.missing(key, guest, own)
	case err != nil:
		return forbidden("%s may not be looked at: %s", name, wording.Cause(err))
	case guest.Container != "" && !own:
		return forbidden("%s belongs to the machine around this container; set it there", key)
	case info.Mode()&0o222 == 0 && strings.HasPrefix(key, "net.") && !namespaced(key, newest):
		return forbidden("%s belongs to the whole machine, and may only be read in this network namespace", key)
	case info.Mode()&0o222 == 0:
		return forbidden("the kernel lets nobody write %s", name)
	}
	if at := m.readOnly(name); at != "" && guest.Container != "" {
		return forbidden("%s is mounted read-only in this container; set %s where the container is started (docker run --sysctl, or the pod's sysctls)", at, key)
	} else if at != "" {
		return forbidden("%s is mounted read-only", at)
	}
	r := m.rights()
	if !r.known {
		return forbidden("what this process may do is not known: /proc/self/status cannot be read")
	}
	if strings.HasPrefix(key, "net.") {
		if r.effective&capNetAdmin == 0 {
			return r.lacking("%s takes CAP_NET_ADMIN, which this process (%s) does not have", key)
		}
		return nil
	}
	return r.root(key)
}

// newest is after all kernels: what belongs to namespaces since any of them.
var newest = Version{Major: 1 << 30}

// missing says why a key is not there.
func (m *Machine) missing(key string, guest Guest, own bool) error {
	switch {
	case !m.has("/proc/sys"):
		return forbidden("there is no /proc/sys here")
	case strings.HasPrefix(key, "net.netfilter.nf_conntrack_") && !m.has(Sysctl("net.netfilter.nf_conntrack_count")):
		return forbidden("connections are not tracked here: nf_conntrack is not loaded, so there is no %s", key)
	case guest.Container != "" && !own:
		return forbidden("%s belongs to the machine around this container, which does not show it in here; set it there", key)
	case strings.HasPrefix(key, "net.") && !namespaced(key, newest):
		return forbidden("%s is not here: it belongs to the whole machine and this network namespace does not show it, or this kernel has no such setting", key)
	default:
		return forbidden("this kernel has no %s", key)
	}
}

// ForbiddenFile is Forbidden for a setting that is no key of sysctl but a file, such as /sys/kernel/mm/transparent_hugepage/enabled. All of
// those belong to the whole machine.
func (m *Machine) ForbiddenFile(name string) error {
	info, err := os.Stat(m.Path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return forbidden("this kernel has no %s, or does not show it here", name)
	case err != nil:
		return forbidden("%s may not be looked at: %s", name, wording.Cause(err))
	case m.guest(nil).Container != "":
		return forbidden("%s belongs to the machine around this container; set it there", name)
	case info.Mode()&0o222 == 0:
		return forbidden("the kernel lets nobody write %s", name)
	}
	if at := m.readOnly(name); at != "" {
		return forbidden("%s is mounted read-only", at)
	}
	r := m.rights()
	if !r.known {
		return forbidden("what this process may do is not known: /proc/self/status cannot be read")
	}
	return r.root(name)
}

func forbidden(format string, a ...any) error {
	return &refusal{fmt.Sprintf(format, a...), ErrForbidden}
}

// lacking is a refusal for want of rights, about what is wanted and who wants it. Who is not root may ask it.
func (r rights) lacking(format, what string) error {
	kind := ErrForbidden
	if r.uid != 0 {
		kind = ErrRights
	}
	return &refusal{fmt.Sprintf(format, what, r.who()), kind}
}

// refusal is a reason that is an ErrForbidden without saying so: the reason says enough.
type refusal struct {
	why  string
	kind error
}

func (r *refusal) Error() string { return r.why }
func (r *refusal) Unwrap() error { return r.kind }

// readOnly is the mount that a file lies below when it is mounted read-only, empty otherwise or when mounts are unknown.
func (m *Machine) readOnly(name string) string {
	mounts, err := m.Mounts()
	if err != nil {
		return ""
	}
	if at := Below(mounts, name); at != nil && at.ReadOnly {
		return at.Point
	}
	return ""
}

// capNetAdmin is CAP_NET_ADMIN in a set of capabilities (capabilities(7)).
const capNetAdmin = 1 << 12

// rights are what the process may do to the machine's settings.
type rights struct {
	known     bool
	uid       int
	effective uint64
	mapped    bool // its users are not the machine's: a user namespace
}

func (m *Machine) rights() (r rights) {
	status, err := m.Read("/proc/self/status")
	if err != nil {
		return r
	}
	r.uid, r.effective, r.known = identity(status)
	if users, err := m.Read("/proc/self/uid_map"); err == nil {
		fields := strings.Fields(users)
		r.mapped = len(fields) > 3 || len(fields) == 3 && (fields[0] != "0" || fields[1] != "0" || fields[2] != "4294967295")
	}
	return r
}

func (r rights) who() string {
	switch {
	case r.uid != 0:
		return fmt.Sprintf("of uid %d", r.uid)
	case r.mapped:
		return "of a root of a user namespace"
	default:
		return "of root"
	}
}

// root says whether it is root of the machine, to whom all settings that are not a network namespace's belong.
func (r rights) root(what string) error {
	if r.uid != 0 || r.mapped {
		return r.lacking("%s is root's to set, and this process is %s", what)
	}
	return nil
}
