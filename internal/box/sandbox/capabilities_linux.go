package sandbox

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// set is a set of capabilities, a bit each.
type set uint64

// names are those of capabilities(7), by number. A newer kernel may have more.
var names = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
	"CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN",
	"CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
	"CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// words are the names of a set.
func (s set) words() []string {
	out := []string{}
	for n := range 64 {
		switch {
		case s&(1<<n) == 0:
		case n < len(names):
			out = append(out, names[n])
		default:
			out = append(out, "capability "+strconv.Itoa(n))
		}
	}
	return out
}

// held are the capabilities of a thread.
type held struct{ effective, permitted, inheritable set }

// capabilities are those of this thread, which in a Go program are those of all.
func capabilities() (held, error) {
	header, data := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return held{}, err
	}
	both := func(low, high uint32) set { return set(low) | set(high)<<32 }
	return held{
		both(data[0].Effective, data[1].Effective),
		both(data[0].Permitted, data[1].Permitted),
		both(data[0].Inheritable, data[1].Inheritable),
	}, nil
}

// data is h as the kernel takes it.
func (h held) data() [2]unix.CapUserData {
	return [2]unix.CapUserData{
		{Effective: uint32(h.effective), Permitted: uint32(h.permitted), Inheritable: uint32(h.inheritable)},
		{Effective: uint32(h.effective >> 32), Permitted: uint32(h.permitted >> 32), Inheritable: uint32(h.inheritable >> 32)},
	}
}

// reduce gives up all capabilities of every thread but those in keep. Ambient ones go with those that are inheritable. The bounding set,
// which is for programs that are run, goes first: it takes a capability that goes then. Without that one, as when the process does not run
// as root, it stays, and no_new_privs does what it would have done.
func (f *InForce) reduce(have held, keep set) {
	if have.effective&(1<<unix.CAP_SETPCAP) != 0 {
		for n := range uintptr(64) {
			if bound, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, n, 0, 0, 0); err != nil || bound == 0 || keep&(1<<n) != 0 {
				continue
			}
			if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, n, 0, 0, 0, 0); errno != 0 {
				f.lack("programs that this one runs may have more capabilities: %s", why(errno))
				break
			}
		}
	}
	left := held{have.effective & keep, have.permitted & keep, have.inheritable & keep}
	header, data := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, left.data()
	if _, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0); errno != 0 {
		f.lack("the capabilities of the process stay: %s", why(errno))
		left = have
	}
	f.Capabilities = left.permitted.words()
}

// Held are the names of the capabilities that the process has.
func Held() ([]string, error) {
	have, err := capabilities()
	return have.effective.words(), err
}
