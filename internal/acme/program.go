package acme

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// Program writes DNS records by being run, without a shell:
//
//	<path> <arguments...> present _acme-challenge.api.example.com <value>
//	<path> <arguments...> cleanup _acme-challenge.api.example.com <value>
//
// It adds the TXT record of that name and value, or removes it; other values of the same name stay. It gets the environment of
// this process and no input, and must exit with status 0 once the record can be seen. What it prints is shown if it fails.
type Program struct {
	Path    string // absolute
	Args    []string
	Timeout time.Duration // after which it is killed with all it started. Zero is 1m; at most 10m
}

// outputMost bounds what is kept of a program's output.
const outputMost = 4096

func (p *Program) check() error {
	if !filepath.IsAbs(p.Path) {
		return fmt.Errorf("acme: dns: program %q is not an absolute path", p.Path)
	}
	if p.Timeout < 0 || p.Timeout > 10*time.Minute {
		return fmt.Errorf("acme: dns: a timeout of %v for the program: allowed is up to 10m", p.Timeout)
	}
	return nil
}

// run runs the program for one record.
func (p *Program) run(ctx context.Context, action, name, value string) error {
	timeout := p.Timeout
	if timeout == 0 {
		timeout = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	said := &tail{}
	cmd := exec.CommandContext(ctx, p.Path, append(append([]string(nil), p.Args...), action, name, value)...)
	cmd.Stdout, cmd.Stderr = said, said
	// A group of its own, so that what it started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("not done within %v", timeout)
	}
	if text := strings.TrimSpace(string(said.text)); text != "" {
		return fmt.Errorf("%s %s %s: %w: %s", p.Path, action, name, err, text)
	}
	return fmt.Errorf("%s %s %s: %w", p.Path, action, name, err)
}

// tail keeps the last of what is written to it.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if n := len(t.text) - outputMost; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(p), nil
}

// programSolver answers dns-01 by a program.
type programSolver struct{ program *Program }

// Present runs the program to add the record.
func (s programSolver) Present(ctx context.Context, c acme.Challenge) error {
	return s.program.run(ctx, "present", c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
}

// CleanUp runs the program to remove the record.
func (s programSolver) CleanUp(ctx context.Context, c acme.Challenge) error {
	return s.program.run(ctx, "cleanup", c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
}

// Wait returns at once: the program has ended, so the record can be seen.
func (programSolver) Wait(context.Context, acme.Challenge) error { return nil }
