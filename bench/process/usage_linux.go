package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// CPU is processor time used since the program began. User and System are the kernel's split of it, which is sampled
// at every tick (10 ms mostly): the sum is exact to the nanosecond, the split needs a second or more of load.
type CPU struct{ User, System time.Duration }

// Total is user and system time together.
func (c CPU) Total() time.Duration { return c.User + c.System }

// Sub is the time used between an earlier reading and this one.
func (c CPU) Sub(before CPU) CPU {
	return CPU{c.User - before.User, c.System - before.System}
}

// CPU adds up the program and its children. Read it while the program rests: the kernel books the slice of a running
// thread only at its end.
func (p *Process) CPU() (CPU, error) {
	var sum CPU
	for _, pid := range p.pids() {
		one, err := cpuOf(pid)
		if err != nil {
			return CPU{}, err
		}
		sum.User += one.User
		sum.System += one.System
	}
	return sum, nil
}

// tick is the unit of utime and stime in /proc/PID/stat: USER_HZ is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// cpuOf scales the exact run time of all threads by the sampled shares of user and system time.
func cpuOf(pid int) (CPU, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return CPU{}, err
	}
	user, system, err := parseStat(stat)
	if err != nil {
		return CPU{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	sampled := CPU{time.Duration(user) * tick, time.Duration(system) * tick}
	exact, ok := schedTime(pid)
	if !ok || sampled.Total() == 0 {
		return sampled, nil
	}
	share := float64(sampled.User) / float64(sampled.Total())
	userTime := time.Duration(float64(exact) * share)
	return CPU{userTime, exact - userTime}, nil
}

// parseStat takes fields 14 and 15 (utime, stime), counted behind the name, which may hold spaces and parentheses.
func parseStat(line []byte) (user, system int64, err error) {
	end := bytes.LastIndexByte(line, ')')
	fields := strings.Fields(string(line[end+1:]))
	if end < 0 || len(fields) < 13 {
		return 0, 0, fmt.Errorf("found %d fields, want 15 or more", len(fields)+2)
	}
	if user, err = strconv.ParseInt(fields[11], 10, 64); err != nil {
		return 0, 0, err
	}
	system, err = strconv.ParseInt(fields[12], 10, 64)
	return user, system, err
}

// schedTime is the run time of all living threads in nanoseconds, or false on a kernel without scheduler statistics.
// Threads that ended are missing from it; none of the gateways ends threads under load.
func schedTime(pid int) (time.Duration, bool) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return 0, false
	}
	var sum int64
	for _, task := range tasks {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, task.Name()))
		if err != nil {
			return 0, false
		}
		first, _, _ := strings.Cut(string(text), " ")
		nanoseconds, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, false
		}
		sum += nanoseconds
	}
	return time.Duration(sum), true
}

// RSS is the resident memory in bytes, now and at its highest since the last ResetPeak: of the largest process in the
// program's family, as the others (nginx's master) mostly show pages they share with it.
func (p *Process) RSS() (now, peak int64, err error) {
	for _, pid := range p.pids() {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, 0, err
		}
		now = max(now, kilobytes(status, "VmRSS:")<<10)
		peak = max(peak, kilobytes(status, "VmHWM:")<<10)
	}
	return now, peak, nil
}

func kilobytes(status []byte, name string) int64 {
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}

// ResetPeak sets the highest memory back to what is resident now (proc(5), clear_refs).
func (p *Process) ResetPeak() error {
	for _, pid := range p.pids() {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
			return err
		}
	}
	return nil
}

// pids are the program and its children. Grandchildren are not looked for: no gateway here has any.
func (p *Process) pids() []int {
	pids := []int{p.Pid()}
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.Pid()))
	for _, task := range tasks {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", p.Pid(), task.Name()))
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Busy is the time since boot that one core was not idle, whoever used it, with what the machine's owner took from it
// for other guests (steal).
func Busy(core int) (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return parseBusy(text, core)
}

// parseBusy adds up what proc(5) calls user, nice, system, irq, softirq and steal.
func parseBusy(text []byte, core int) (time.Duration, error) {
	name := fmt.Sprintf("cpu%d", core)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 9 || fields[0] != name {
			continue
		}
		var ticks int64
		for _, i := range []int{1, 2, 3, 6, 7, 8} {
			n, err := strconv.ParseInt(fields[i], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("/proc/stat, %s: %w", name, err)
			}
			ticks += n
		}
		return time.Duration(ticks) * tick, nil
	}
	return 0, fmt.Errorf("/proc/stat has no line %s with steal time", name)
}
