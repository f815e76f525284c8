package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/setting"
	"straum.dev/straum/internal/box/tune"
	"straum.dev/straum/internal/box/vitals"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/document"
)

func newTune() *cobra.Command {
	c := &cobra.Command{
		Use:   "tune",
		Short: "Set this box's kernel for a configuration, each line with its reason, and put it back",
		Long: `Sets what straum doctor proposes for the kernel: now, and for every start to come. Without --apply it changes
nothing and shows what it would do: the values, the files as a diff, what this guest may not set and why, and files
of others that are read later and say otherwise.

--apply first records what was (/var/lib/straum-tune/undo.json), then writes the values and reads them again, then
writes drop-ins with a reason above each line:
  /etc/sysctl.d/60-straum.conf                         settings of the kernel
  /etc/systemd/system/straum.service.d/60-straum.conf  the limit of descriptors, where there is such a unit
  /etc/tmpfiles.d/60-straum.conf                       what sysctl has no key for, such as huge pages
Applied again it does what is left to do, mostly nothing. It never sets a value that is worse than what is.

--undo puts back what was before the first --apply: values, and files byte for byte or none. What somebody else has
changed since is told and left, unless --force is given. It works after --apply was interrupted, too.

The configuration is the one named with -c, else straum.yaml here, else ` + installed + `; without any the
defaults of a gateway are taken. docs/tuning.md says of each setting what it does, when it is set, and why.

` + exitHelp,
		Example: `  straum tune -c straum.yaml                     show what would be done
  sudo straum tune -c straum.yaml --apply
  sudo straum tune --apply --only net.ipv4.tcp_fastopen,net.core.somaxconn
  sudo straum tune --undo`,
		Args: noArguments,
	}
	t := &tuning{command: c}
	c.Flags().StringVarP(&t.file, "config", "c", "straum.yaml", "the configuration `file` to set the box for")
	c.Flags().BoolVar(&t.dry, "dry-run", false, "show what would be done, and do nothing (what it does by itself)")
	c.Flags().BoolVar(&t.apply, "apply", false, "do it")
	c.Flags().BoolVar(&t.undo, "undo", false, "put back what was before the first --apply")
	c.Flags().BoolVar(&t.force, "force", false, "with --undo: put back what somebody else has changed since, too")
	c.Flags().StringSliceVar(&t.only, "only", nil, "the `keys` to set, with commas between; all when left out")
	c.Flags().BoolVar(&t.json, "json", false, "print JSON")
	c.Flags().StringVar(&t.root, "root", "/", "where /etc and /var lie (for tests)")
	c.Flags().StringVar(&t.box, "box", "/", "where /proc and /sys lie (for tests)")
	for _, name := range []string{"root", "box"} {
		_ = c.Flags().MarkHidden(name)
	}
	_ = c.MarkFlagFilename("config", "yaml", "yml")
	_ = c.RegisterFlagCompletionFunc("only", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return ruleKeys(), cobra.ShellCompDirectiveNoFileComp
	})
	c.RunE = func(*cobra.Command, []string) error { return t.run() }
	return c
}

// tuning is one run of the command.
type tuning struct {
	command                       *cobra.Command
	file, root, box               string
	dry, apply, undo, force, json bool
	only                          []string
}

func (t *tuning) run() error {
	if err := t.check(); err != nil {
		return &coded{exitUsage, err}
	}
	tuner := &tune.Tuner{Machine: &box.Machine{Root: t.box}, Root: t.root, AsRoot: !t.apply}
	if t.apply || t.undo {
		if os.Geteuid() != 0 && t.root == "/" {
			return failed(fmt.Errorf("only root may set the kernel: sudo %s", t.again()))
		}
	}
	if t.undo {
		return t.putBack(tuner)
	}
	read, file, err := t.configuration()
	if err != nil {
		return err
	}
	verdicts := t.verdicts(tuner.Machine, read, t.gateway(file))
	if t.apply {
		return t.set(tuner, verdicts)
	}
	p, err := tuner.Plan(verdicts)
	if err != nil {
		return failed(err)
	}
	if t.json {
		return t.print(p)
	}
	from := "for the defaults of a gateway, as there is no configuration here; name it with -c FILE"
	if file != "" {
		from = "for " + file
	}
	return failed(printPlan(plain{t.command.OutOrStdout()}, p, from))
}

// check judges flags together.
func (t *tuning) check() error {
	ways := 0
	for _, on := range []bool{t.dry, t.apply, t.undo} {
		if on {
			ways++
		}
	}
	switch {
	case ways > 1:
		return errors.New("--dry-run, --apply and --undo exclude each other")
	case t.force && !t.undo:
		return errors.New("--force goes with --undo: nothing else overwrites what somebody has set")
	case t.undo && len(t.only) > 0:
		return errors.New("--undo puts back everything; --only goes with --apply and --dry-run")
	}
	known := ruleKeys()
	for _, key := range t.only {
		if !slices.Contains(known, key) {
			text := fmt.Sprintf("--only: there is no rule of %q", key)
			if near := document.Suggest(key, known); near != "" {
				text += "; did you mean " + near + "?"
			}
			return errors.New(text + "; docs/tuning.md lists them")
		}
	}
	return nil
}

// ruleKeys are what --only takes.
func ruleKeys() (keys []string) {
	for _, r := range setting.Rules() {
		keys = append(keys, r.Key)
	}
	return keys
}

// again is the command line with the same meaning, for sudo.
func (t *tuning) again() string {
	words := []string{"straum", "tune"}
	if t.command.Flags().Changed("config") {
		words = append(words, "-c", t.file)
	}
	if t.apply {
		words = append(words, "--apply")
	}
	if t.undo {
		words = append(words, "--undo")
	}
	if t.force {
		words = append(words, "--force")
	}
	if len(t.only) > 0 {
		words = append(words, "--only", strings.Join(t.only, ","))
	}
	return strings.Join(words, " ")
}

// configuration reads the one that is meant, and says where it is. nil is none: then the defaults count.
func (t *tuning) configuration() (read *config.Config, file string, err error) {
	files := []string{t.file, installed}
	if t.command.Flags().Changed("config") {
		files = files[:1]
	}
	for _, file := range files {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		read, _, err := judge(revision.File(file))
		return read, file, failed(err)
	}
	if t.command.Flags().Changed("config") {
		return nil, "", &coded{exitConfig, fmt.Errorf("there is no file %s", t.file)}
	}
	return nil, "", nil
}

// gateway is the process of the gateway that runs, 0 when there is none. Where its unit sets no limits, its own are the ones to judge, as doctor
// does.
func (t *tuning) gateway(file string) int {
	if t.box != "/" {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	return behind(ctx, meant(file))
}

// tuneWindow is how long the box is watched: some rules go by what the kernel counts.
const tuneWindow = 500 * time.Millisecond

// verdicts are those of the rules that are asked for.
func (t *tuning) verdicts(m *box.Machine, read *config.Config, gateway int) (all []setting.Verdict) {
	source := vitals.New(vitals.Options{Machine: m, PID: gateway})
	before := source.Sample()
	time.Sleep(tuneWindow)
	seen := vitals.Between(before, source.Sample())
	source.Close()
	if gateway == 0 { // they are of this command
		seen.Descriptors = nil
	}
	sight := &setting.Sight{Machine: m, Facts: m.Facts(), Workload: setting.Asked(read), Vitals: seen}
	for _, r := range setting.Rules() {
		if len(t.only) == 0 || slices.Contains(t.only, r.Key) {
			all = append(all, r.Judge(sight))
		}
	}
	return all
}

func (t *tuning) set(tuner *tune.Tuner, verdicts []setting.Verdict) error {
	o, err := tuner.Apply(verdicts, time.Now())
	return t.done(o, err, printApplied)
}

func (t *tuning) putBack(tuner *tune.Tuner) error {
	o, err := tuner.Undo(t.force)
	return t.done(o, err, func(w io.Writer, o *tune.Outcome) error { return printUndone(w, o, t.again()) })
}

// done prints an outcome. What was done before an error is shown too.
func (t *tuning) done(o *tune.Outcome, err error, print func(io.Writer, *tune.Outcome) error) error {
	var printed error
	switch {
	case o == nil && err != nil:
	case t.json && o == nil:
		printed = t.print(struct{}{}) // there was nothing to undo
	case t.json:
		printed = t.print(o)
	default:
		printed = print(plain{t.command.OutOrStdout()}, o)
	}
	switch {
	case err != nil:
		return failed(err)
	case printed != nil:
		return failed(printed)
	case o != nil && o.Failed():
		return failed(errors.New("not all of it could be done"))
	case o != nil && len(o.Left) > 0:
		return failed(errors.New("what somebody else has changed since was left as it is"))
	}
	return nil
}

func (t *tuning) print(v any) error {
	e := json.NewEncoder(t.command.OutOrStdout())
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return failed(e.Encode(v))
}

func printPlan(w io.Writer, p *tune.Plan, from string) error {
	fmt.Fprintf(w, "What straum tune --apply would do %s:\n", from)
	if p.Empty() {
		fmt.Fprintln(w, "nothing; all is as it should be, as far as it may be set from here")
	}
	if len(p.Values) > 0 {
		t := newTable(w)
		fmt.Fprintln(t, "\nSETTING\tIS\tBECOMES")
		for _, v := range p.Values {
			fmt.Fprintf(t, "%s\t%s\t%s\n", v.Key, orNone(v.Is), v.Set)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	for _, f := range p.Files {
		fmt.Fprintf(w, "\n%s", f.Diff())
	}
	if err := printAside(w, p); err != nil {
		return err
	}
	if p.Empty() {
		return nil
	}
	_, err := fmt.Fprintln(w, "\nNothing was changed. sudo straum tune --apply does it, and straum tune --undo puts everything back.")
	return err
}

func orNone(text string) string {
	if text == "" {
		return "(empty)"
	}
	return text
}

// printAside prints what is not done, and what others undo.
func printAside(w io.Writer, p *tune.Plan) error {
	if len(p.Refused) > 0 {
		t := newTable(w)
		fmt.Fprintln(t, "\nNOT SET\tWOULD BE\tWHY NOT")
		for _, r := range p.Refused {
			fmt.Fprintf(t, "%s\t%s\t%s\n", r.Key, r.Set, r.Why)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if len(p.Overruled) > 0 {
		fmt.Fprintln(w)
		for _, o := range p.Overruled {
			fmt.Fprintf(w, "%s sets %s to %s after ours; at the next start that counts\n", o.File, o.Key, orNone(o.Value))
		}
	}
	return nil
}

func printApplied(w io.Writer, o *tune.Outcome) error {
	if o.Plan.Empty() {
		fmt.Fprintln(w, "nothing to do; all is as it should be, as far as it may be set from here")
		return printAside(w, o.Plan)
	}
	if err := printDone(w, o, "written"); err != nil {
		return err
	}
	if err := printAside(w, o.Plan); err != nil {
		return err
	}
	return printSteps(w, o)
}

func printUndone(w io.Writer, o *tune.Outcome, again string) error {
	if o == nil {
		_, err := fmt.Fprintln(w, "nothing to undo; straum tune has changed nothing on this box")
		return err
	}
	if len(o.Values)+len(o.Files)+len(o.Left) == 0 {
		_, err := fmt.Fprintln(w, "all was as it had been already")
		return err
	}
	if err := printDone(w, o, "as it was"); err != nil {
		return err
	}
	if len(o.Left) > 0 {
		t := newTable(w)
		fmt.Fprintln(t, "\nLEFT\tWAS\tIS, BY SOMEBODY ELSE")
		for _, l := range o.Left {
			fmt.Fprintf(t, "%s\t%s\t%s\n", l.What, orNone(l.Was), orNone(l.Is))
		}
		if err := t.Flush(); err != nil {
			return err
		}
		fmt.Fprintf(w, "sudo %s --force puts these back, too\n", again)
	}
	return printSteps(w, o)
}

// printDone prints values and files as they are now.
func printDone(w io.Writer, o *tune.Outcome, well string) error {
	t := newTable(w)
	if len(o.Values) > 0 {
		fmt.Fprintln(t, "SETTING\tWAS\tIS NOW")
	}
	for _, v := range o.Values {
		now := orNone(v.Now)
		if v.Problem != "" {
			now += "\t" + v.Problem
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", v.What, orNone(v.From), now)
	}
	for _, f := range o.Files {
		result := well
		if f.Problem != "" {
			result = f.Problem
		}
		fmt.Fprintf(t, "%s\t%s\n", f.What, result)
	}
	return t.Flush()
}

func printSteps(w io.Writer, o *tune.Outcome) error {
	if len(o.Steps) == 0 {
		return nil
	}
	_, err := fmt.Fprintln(w, "\nstill to do: "+strings.Join(o.Steps, " && "))
	return err
}
