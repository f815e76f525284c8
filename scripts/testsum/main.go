// Command testsum runs go test and closes with one line, "N passed, N failed, N skipped", counting tests and subtests.
// Its arguments are go test's. Of tests that pass it shows one line a package; of those that fail, all they printed; of
// those skipped, the reason. It ends with go test's own exit code, and adds no flags but -json.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	code, err := run(cmd, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
	}
	os.Exit(code)
}

// run returns the exit code of go test, or 1 with the reason when it could not be had or when it contradicts the count.
func run(cmd *exec.Cmd, out io.Writer) (code int, err error) {
	events, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	sum := newSummary(out)
	readErr := sum.read(events)
	waitErr := cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(waitErr, &exit) {
		code = exit.ExitCode()
	} else if waitErr != nil {
		code, err = 1, waitErr
	}
	if readErr != nil {
		return 1, readErr
	}
	if code == 0 && sum.failed > 0 {
		code, err = 1, errors.New("go test ended well although a test failed")
	}
	sum.close(code)
	return code, err
}
