package process

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is one started program with its children. Its methods are not for several goroutines at once, save Exited.
type Process struct {
	cmd    *exec.Cmd
	output *os.File
	exited chan struct{} // closed once the program has ended and was waited for
}

// Start runs argv on the given core alone, with env added to our own environment and with both output streams in
// the file output. The program leads a process group of its own, so that Stop reaches its children too.
func Start(core int, output string, env []string, argv ...string) (*Process, error) {
	file, err := os.Create(output)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = file, file
	// Should the bench itself be killed, the kernel asks the program to end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := startOn(core, cmd); err != nil {
		file.Close()
		return nil, fmt.Errorf("start %s on core %d: %w", argv[0], core, err)
	}
	p := &Process{cmd: cmd, output: file, exited: make(chan struct{})}
	go func() {
		cmd.Wait() // how it ended does not matter here: whoever needs it alive watches Exited
		close(p.exited)
	}()
	return p, nil
}

// startOn starts cmd with the affinity to one core: a child inherits it from the thread that forks.
func startOn(core int, cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	only.Set(core)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return err
	}
	defer unix.SchedSetaffinity(0, &before)
	return cmd.Start()
}

// PinSelf ties every thread of this very process to one core; threads and programs started later inherit it.
func PinSelf(core int) error {
	var only unix.CPUSet
	only.Set(core)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		id, err := strconv.Atoi(task.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, &only); err != nil && err != unix.ESRCH {
			return fmt.Errorf("pin the bench to core %d: %w", core, err)
		}
	}
	return nil
}

// Pid is the number of the started program.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Exited is closed once the program has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Stop asks the program to end and waits up to five seconds. Whatever is left of its group then, children that outlived it included,
// is ended.
func (p *Process) Stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
	}
	syscall.Kill(-p.Pid(), syscall.SIGKILL) // an error means that nobody is left
	<-p.exited
	p.output.Close()
}
