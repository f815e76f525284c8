package sandbox

import (
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"straum.dev/straum/internal/wording"
)

// What may be done with files and directories, of what Landlock knows (landlock(7)). Devices and fifos may not be made and programs not be
// run, and device files opened from now on take no commands (ioctl) but harmless ones. To connect to unix sockets, a right that Landlock
// has since its version 9, is left alone, as all of the network is.
const (
	handled landlock.AccessFSSet = 1<<16 - 1 // all of version 5

	readFile  landlock.AccessFSSet = ll.AccessFSReadFile
	readDir   landlock.AccessFSSet = readFile | ll.AccessFSReadDir
	writeFile landlock.AccessFSSet = readFile | ll.AccessFSWriteFile | ll.AccessFSTruncate
	writeDir  landlock.AccessFSSet = readDir | writeFile | ll.AccessFSRemoveFile | ll.AccessFSRemoveDir | ll.AccessFSMakeReg |
		ll.AccessFSMakeDir | ll.AccessFSMakeSock
	execute landlock.AccessFSSet = ll.AccessFSExecute
)

// knownVersion is the newest version of Landlock whose rights are known here to be handled or left alone on purpose.
const knownVersion = 11

// restrictFiles leaves every thread the places that are wanted.
func (f *InForce) restrictFiles(w Wants) {
	version, err := ll.LandlockGetABIVersion()
	switch {
	case err != nil:
		f.lack("the file system is open as far as users and modes allow: %s (Landlock, Linux 5.13)", why(err))
		return
	case version < 2 && w.Move:
		f.lack("the file system is open as far as users and modes allow: this kernel's Landlock would not let files be moved between directories (Linux 5.19 does)")
		return
	}
	config := landlock.Config{HandledAccessFS: handled}
	if scoped(version) {
		config.Scoped = ll.ScopeSignal
		if !w.Abstract {
			config.Scoped |= ll.ScopeAbstractUnixSocket
		}
	}
	var rules []landlock.Rule
	add := func(paths []string, file, dir landlock.AccessFSSet) (added []string) {
		added = []string{}
		for _, path := range paths {
			rights, err := rightsOf(path, file, dir)
			if err != nil {
				f.lack("%s is left out: %s", path, wording.Cause(err).Error())
				continue
			}
			added = append(added, path)
			if !nowhere(path) {
				rules = append(rules, landlock.PathAccess(rights, path))
			}
		}
		return added
	}
	moving := writeDir
	if w.Move {
		moving |= ll.AccessFSRefer
	}
	read := add(w.Read, readFile, readDir)
	write := add(w.Write, writeFile, moving)
	run := add(w.Execute, readFile|execute, readDir|execute)
	if err := config.BestEffort().Restrict(rules...); err != nil {
		f.lack("the file system is open as far as users and modes allow: %s", why(err))
		return
	}
	f.Landlock, f.Read, f.Write, f.Execute = min(version, knownVersion), read, write, run
	f.lackOld(version)
}

// scoped says whether Landlock knows of signals and of unix sockets without a file. The first kernels that did refused signals between
// threads of one process.
func scoped(version int) bool {
	const signalsWithin = 1 << 1
	errata, err := ll.LandlockGetErrata()
	return version >= 6 && err == nil && errata&signalsWithin != 0
}

// lackOld tells what a Landlock of an old kernel cannot do.
func (f *InForce) lackOld(version int) {
	if version < 3 {
		f.lack("files beyond what may be written may be cut short by whoever may write them: this kernel's Landlock cannot refuse that (Linux 6.2 can)")
	}
	if !scoped(version) {
		f.lack("other processes of the same user may be sent signals: this kernel's Landlock cannot refuse that (Linux 6.12 can)")
	}
}

// rightsOf picks what suits a place.
func rightsOf(path string, file, dir landlock.AccessFSSet) (landlock.AccessFSSet, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	if info.IsDir() {
		return dir, nil
	}
	if fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
		return 0, err
	} else {
		unix.Close(fd)
	}
	return file, nil
}

// nowhere says that a path leads to what no file system has that is mounted: to a pipe or a socket by way of /proc/self/fd, as /dev/stdout
// does. Landlock takes no rule for those, and asks for none.
func nowhere(path string) bool {
	const sockets, pipes, anonymous = 0x534f434b, 0x50495045, 0x09041934 // linux/magic.h
	var f unix.Statfs_t
	if unix.Statfs(path, &f) != nil {
		return false
	}
	kind := uint32(f.Type)
	return kind == sockets || kind == pipes || kind == anonymous
}
