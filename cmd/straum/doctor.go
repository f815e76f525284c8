package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/doctor"
	"straum.dev/straum/internal/box/vitals"
	"straum.dev/straum/internal/document"
)

// Exit codes of doctor beside those of every command. Hints and what is unknown are no reason to fail.
const (
	exitWarnings = 4
	exitBad      = 5
)

// Bounds of one look.
const (
	lookLimit   = 6 * time.Second // of one check
	leastWindow = 100 * time.Millisecond
	mostWindow  = 10 * time.Minute
)

func newDoctor() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look at this box and the gateway on it: what is, what should be and why, what it costs, how to mend it",
		Long: `Looks at this box and the gateway on it, check by check: what is, what it should be for this configuration and
why, what the difference costs now as far as it was counted or measured, and how to mend it. What is good takes one
line. It changes nothing; to see how fast disks are it writes a file of 64 KiB into the directories of log, cache and
state, and removes it, and each endpoint is asked twice what its health probe asks. docs/doctor.md says what each check
looks at; settings of the kernel are in docs/tuning.md.

The configuration is the one named with -c, else straum.yaml here, else the one the running gateway has, else
` + installed + `. Without any the box alone is looked at. The running gateway is asked over its admin socket when it
answers. Some things only root may see: they are told as unknown.

With --watch it looks again and again until it is interrupted, and prints a line for each finding that matters more or
less than before; on a terminal it draws the whole anew. What was measured on disks is measured once a minute then.

With --json each finding is a JSON object on a line of its own: group, id, subject, severity (good, unknown, hint,
warning, bad), is, want, why, cost, remedy; with --watch also at, and only those that have changed.

Exit codes, of the last look:
  0  all is good, or there are hints or what could not be found out
  1  it could not look
  2  the command line is wrong
  3  the configuration named with -c cannot be read
  4  there are warnings
  5  something is bad`,
		Example: `  straum doctor
  straum doctor -c straum.yaml --window 10s
  straum doctor --only steal --watch
  straum doctor --only disk,memory --all
  straum doctor --json | jq 'select(.severity == "bad")'`,
		Args: noArguments,
	}
	d := &doctoring{command: c}
	c.Flags().StringVarP(&d.file, "config", "c", "straum.yaml", "the configuration `file` to look at the box for")
	c.Flags().StringVar(&d.socket, "socket", "", "the `path` of the gateway's admin socket; that of the configuration when left out")
	c.Flags().DurationVar(&d.window, "window", 2*time.Second, "how long to watch what moves: processors, network, disks")
	c.Flags().BoolVar(&d.json, "json", false, "print one JSON object a line for each finding")
	c.Flags().BoolVar(&d.watch, "watch", false, "look again and again, and tell what changes")
	c.Flags().BoolVar(&d.all, "all", false, "tell why of what is good, too")
	c.Flags().StringSliceVar(&d.only, "only", nil, "the `checks` to make, by id or group, with commas between")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
	_ = c.RegisterFlagCompletionFunc("only", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return checkNames(doctor.Checks()), cobra.ShellCompDirectiveNoFileComp
	})
	c.RunE = func(c *cobra.Command, _ []string) error { return d.run(c.Context()) }
	return c
}

// doctoring is one run of the command.
type doctoring struct {
	command          *cobra.Command
	file, socket     string
	window           time.Duration
	json, watch, all bool
	only             []string

	checks   []doctor.Check
	out      io.Writer
	terminal bool
	style    doctor.Style
}

func (d *doctoring) run(ctx context.Context) error {
	if d.window < leastWindow || d.window > mostWindow {
		return &coded{exitUsage, fmt.Errorf("--window: found %s; allowed: %s to %s", d.window, leastWindow, mostWindow)}
	}
	var err error
	if d.checks, err = chosen(doctor.Checks(), d.only); err != nil {
		return &coded{exitUsage, err}
	}
	if d.watch {
		d.checks = doctor.Remembering(d.checks)
	}
	d.out = d.command.OutOrStdout()
	d.terminal, d.style = onTerminal(d.out)
	d.style.All = d.all
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return d.look(ctx)
}

// look looks once, or until it is interrupted. The configuration and the gateway are asked for anew each time: both change while a box is
// watched.
func (d *doctoring) look(ctx context.Context) error {
	var before []box.Finding
	var known *acquaintance
	var source *vitals.Source
	defer func() {
		if source != nil {
			source.Close()
		}
	}()
	for first, judged := true, box.Good; ; first = false {
		a, err := d.meet(ctx, known)
		if err != nil {
			return err
		}
		if source == nil || a.pid() != known.pid() || !maps.Equal(a.volumes(), known.volumes()) {
			if source != nil {
				source.Close()
			}
			source = vitals.New(vitals.Options{Machine: a.patient.Machine, Volumes: a.volumes(), PID: a.pid()})
		}
		known = a
		earlier := source.Sample() // after the checks of the look before: what they do is not what the box does
		select {
		case <-ctx.Done():
		case <-time.After(d.window):
		}
		p := &a.patient
		p.Vitals, p.Now = vitals.Between(earlier, source.Sample()), time.Now()
		if a.pid() == 0 { // they are of this command then, which concerns nobody
			p.Vitals.Process, p.Vitals.Descriptors = nil, nil
		}
		found := doctor.Examine(ctx, p, d.checks, lookLimit)
		switch {
		case ctx.Err() != nil && first:
			return failed(errors.New("interrupted before everything was seen"))
		case ctx.Err() != nil:
			return verdict(judged)
		}
		judged = doctor.Judgement(found)
		if err := d.print(a, before, found, first); err != nil {
			return failed(err)
		}
		if !d.watch {
			return verdict(judged)
		}
		before = found
	}
}

func (d *doctoring) print(a *acquaintance, before, found []box.Finding, first bool) error {
	now := a.patient.Now
	switch {
	case d.json && d.watch:
		var changed []box.Finding
		for _, c := range doctor.Changes(before, found) {
			if !c.Gone {
				changed = append(changed, c.Finding)
			}
		}
		return doctor.WriteJSON(d.out, d.checks, changed, now)
	case d.json:
		return doctor.WriteJSON(d.out, d.checks, found, time.Time{})
	case d.watch && !first && !d.terminal:
		return doctor.WriteChanges(d.out, doctor.Changes(before, found), now)
	}
	var page bytes.Buffer // at once, so that a terminal does not flicker
	notes := a.notes
	if d.watch && d.terminal {
		page.WriteString("\x1b[H\x1b[2J") // home, and clear what is there
		notes = append(notes, "looked at "+now.Format(time.TimeOnly)+", again in "+d.window.String()+"; ctrl-c ends it")
	}
	if err := doctor.WriteHead(&page, &a.patient, notes, d.style); err != nil {
		return err
	}
	if err := doctor.WriteText(&page, d.checks, found, d.style); err != nil {
		return err
	}
	_, err := page.WriteTo(d.out)
	return err
}

// verdict gives a severity its exit code, without another word: the report has said it.
func verdict(s box.Severity) error {
	switch s {
	case box.Bad:
		return &coded{exitBad, nil}
	case box.Warning:
		return &coded{exitWarnings, nil}
	}
	return nil
}

// chosen picks checks by id or group; all of them when none is named.
func chosen(all []doctor.Check, names []string) (picked []doctor.Check, err error) {
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		if known := checkNames(all); !slices.Contains(known, name) {
			text := fmt.Sprintf("--only: there is no check or group %q; docs/doctor.md lists them, and straum doctor --json", name)
			if near := document.Suggest(name, known); near != "" {
				text += "; did you mean " + near + "?"
			}
			return nil, errors.New(text)
		}
	}
	for _, c := range all {
		if slices.Contains(names, c.ID) || slices.Contains(names, c.Group) {
			picked = append(picked, c)
		}
	}
	return picked, nil
}

// checkNames are the ids and groups that --only takes.
func checkNames(all []doctor.Check) (names []string) {
	for _, c := range all {
		names = append(names, c.ID)
		if !slices.Contains(names, c.Group) {
			names = append(names, c.Group)
		}
	}
	return names
}

// onTerminal says whether what is written is seen by somebody at once, and how it is best written then. Colours are left out where NO_COLOR
// is set (no-color.org) or the terminal is known to have none.
func onTerminal(w io.Writer) (bool, doctor.Style) {
	f, ok := w.(*os.File)
	if !ok {
		return false, doctor.Style{}
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&fs.ModeCharDevice == 0 {
		return false, doctor.Style{}
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return false, doctor.Style{} // a device, but no terminal: /dev/null
	}
	return true, doctor.Style{Width: min(int(size.Col), 120), Colour: os.Getenv("NO_COLOR") == "" && !strings.HasPrefix(os.Getenv("TERM"), "dumb")}
}
