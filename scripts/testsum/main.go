// Command testsum runs go test and closes with one line, "N passed, N failed, N skipped", counting tests and subtests.
// Its arguments are go test's. Of tests that pass it shows one line a package; of those that fail, all they printed; of
// those skipped, the reason. It ends with go test's own exit code, and adds no flags but -json.
//
// With -again as the first argument, up to six tests that failed are run again alone, see again.go.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
)

func main() {
	args := os.Args[1:]
	again := len(args) > 0 && args[0] == "-again"
	if again {
		args = args[1:]
	}
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	sum := newSummary(os.Stdout)
	code, err := sum.run(cmd)
	if code != 0 && err == nil && again && sum.again(os.Stdout, lasting(args), goTest) {
		code = 0
		sum.shaky, sum.failed = len(sum.failures), 0
	}
	sum.close(code)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
	}
	os.Exit(code)
}

// run returns the exit code of go test, or 1 with the reason when it could not be had or when it contradicts the count.
func (s *summary) run(cmd *exec.Cmd) (code int, err error) {
	events, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	readErr := s.read(events)
	waitErr := cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(waitErr, &exit) {
		code = exit.ExitCode()
	} else if waitErr != nil {
		code, err = 1, waitErr
	}
	if readErr != nil {
		return 1, readErr
	}
	if code == 0 && s.failed > 0 {
		code, err = 1, errors.New("go test ended well although a test failed")
	}
	return code, err
}
