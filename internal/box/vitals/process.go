package vitals

import (
	"os"
	"path"
	"strconv"
)

// ProcessSample are the counters of the process.
type ProcessSample struct {
	PID      int
	Ticks    uint64 // hundredths of seconds of processor time
	Resident int64
	Waited   uint64 // nanoseconds its threads waited for a processor

	runtime *runtimeSample
}

// maxTasks is how many threads are asked.
const maxTasks = 256

// processSample reads the process's own files; nil when there is none.
func (s *Source) processSample() *ProcessSample {
	if !s.isProc {
		return nil
	}
	stat, err := s.process.Stat()
	if err != nil {
		return nil
	}
	p := &ProcessSample{PID: s.process.PID, Ticks: uint64(stat.UTime) + uint64(stat.STime), Resident: int64(stat.ResidentMemory())}
	p.Waited = s.waitedFor()
	if s.runtime != nil {
		p.runtime = s.runtime.read()
	}
	return p
}

// waitedFor is how long all threads waited for a processor, those that have ended too: schedstat tells it thread by thread, and what
// has ended takes its part along.
func (s *Source) waitedFor() uint64 {
	at := s.machine.Path("/proc/" + strconv.Itoa(s.process.PID))
	dir, err := os.Open(path.Join(at, "task"))
	if err != nil {
		s.tasks[0] += s.grown(s.tasks[0], path.Join(at, "schedstat"))
		return s.tasks[0]
	}
	names, _ := dir.Readdirnames(maxTasks)
	_ = dir.Close() // only read from
	clear(s.spare)
	for _, name := range names {
		id, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		was := s.tasks[id]
		more := s.grown(was, path.Join(at, "task", name, "schedstat"))
		s.spare[id] = was + more
		s.waited += more
	}
	s.tasks, s.spare = s.spare, s.tasks
	return s.waited
}

// grown is by how much the waiting in a schedstat file has grown: its second number, after the time on a processor.
func (s *Source) grown(was uint64, name string) uint64 {
	f, err := os.Open(name)
	if err != nil {
		return 0
	}
	defer f.Close()
	n, _ := f.Read(s.buffer)
	var two [2]uint64
	if numbers(s.buffer[:n], two[:]) < 2 || two[1] < was {
		return 0
	}
	return two[1] - was
}

// descriptors counts those the process has open.
func (s *Source) descriptors() *Use {
	if !s.isProc {
		return nil
	}
	limits, err := s.process.Limits()
	if err != nil {
		return nil
	}
	at := s.machine.Path("/proc/" + strconv.Itoa(s.process.PID) + "/fd")
	if s.sized {
		info, err := os.Stat(at)
		if err != nil {
			return nil
		}
		s.counted = info.Size()
	} else if s.rest--; s.rest < 0 {
		dir, err := os.Open(at)
		if err != nil {
			return nil
		}
		s.counted = 0
		for {
			names, err := dir.Readdirnames(1024)
			s.counted += int64(len(names))
			if err != nil || len(names) == 0 {
				break
			}
		}
		_ = dir.Close() // only read from
		if s.rest = 0; s.counted > manyDescriptors {
			s.rest = 11
		}
	}
	return &Use{Used: s.counted, Limit: int64(min(limits.OpenFiles, 1<<62))}
}

// manyDescriptors is from how many on counting them one by one, some 0.5 µs each, is not done with every sample.
const manyDescriptors = 1024
