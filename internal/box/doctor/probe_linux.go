package doctor

import (
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Here are the probes of the box this program runs on.
func Here() Probes {
	return Probes{Clock: kernelClock, ReadClock: readClock, Seal: seal, There: there, Write: write, Space: space, Offloads: offloads, Reach: reach, Ask: ask}
}

// kernelClock asks as adjtimex(2) without changing anything.
func kernelClock() (ClockState, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return ClockState{}, err
	}
	unit := time.Microsecond
	if t.Status&unix.STA_NANO != 0 {
		unit = time.Nanosecond
	}
	return ClockState{
		InStep: state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0,
		Offset: time.Duration(t.Offset) * unit,
		Error:  time.Duration(t.Maxerror) * time.Microsecond,
	}, nil
}

// kinds are the file systems that keep what is written elsewhere than on a disk of the box, by the number statfs(2) knows them by.
var kinds = map[int64]string{
	unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.NFS_SUPER_MAGIC: "nfs",
	unix.CIFS_SUPER_MAGIC: "cifs", unix.SMB2_SUPER_MAGIC: "cifs", unix.SMB_SUPER_MAGIC: "cifs", unix.FUSE_SUPER_MAGIC: "fuse", unix.V9FS_MAGIC: "9p",
}

func space(directory string) (Space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(directory, &s); err != nil {
		return Space{}, err
	}
	one := int64(s.Frsize)
	if one == 0 {
		one = int64(s.Bsize)
	}
	return Space{
		Free: int64(s.Bavail) * one, Size: int64(s.Blocks) * one,
		Inodes: s.Files, FreeInodes: s.Ffree,
		Kind: kinds[int64(s.Type)],
	}, nil
}

// wanted are the offloads that matter to a gateway, by the number that ethtool(8) asks for them with (linux/ethtool.h).
var wanted = map[string]uint32{"checksums": unix.ETHTOOL_GTXCSUM, "tso": unix.ETHTOOL_GTSO, "gso": unix.ETHTOOL_GGSO, "gro": unix.ETHTOOL_GGRO}

// offloads asks the driver; reading needs no rights. What it does not know is left out.
func offloads(name string) (map[string]bool, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	out := make(map[string]bool, len(wanted))
	for word, command := range wanted {
		value := struct{ command, data uint32 }{command: command}
		request := struct {
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte // the kernel's structure is as long as its longest member
		}{data: unsafe.Pointer(&value)}
		copy(request.name[:unix.IFNAMSIZ-1], strings.TrimSpace(name))
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
		switch errno {
		case 0:
			out[word] = value.data != 0
		case unix.EOPNOTSUPP:
		default:
			return nil, errno
		}
	}
	return out, nil
}
