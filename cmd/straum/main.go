// Command straum is the gateway: one binary, one file, several subcommands. main.go picks the subcommand, assemble.go builds and
// joins the parts, and each subcommand has a file of its own.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/document"
)

// Exit codes. They are part of what scripts rely on.
const (
	exitFailed = 1 // something could not be done
	exitUsage  = 2 // the command line is wrong
	exitConfig = 3 // the configuration has mistakes, or cannot be read
)

const exitHelp = `Exit codes:
  0  done
  1  failed: a port is taken, a file cannot be written, ...
  2  the command line is wrong
  3  the configuration has mistakes, or cannot be read`

func main() { os.Exit(run()) }

func run() int {
	command, err := newRoot().ExecuteC()
	if err == nil {
		return 0
	}
	var c *coded
	if !errors.As(err, &c) {
		c = &coded{exitUsage, fmt.Errorf("%s; see %s --help", misuse(err), command.CommandPath())}
	}
	if c.err != nil { // a command that said everything itself has a code alone
		tell(c.err)
	}
	return c.code
}

// misuse words what cobra finds wrong with a command line; it puts suggestions on lines of their own.
func misuse(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if what, near, ok := strings.Cut(text, " Did you mean this? "); ok {
		return what + "; did you mean " + strings.ReplaceAll(near, " ", " or ") + "?"
	}
	if flags, ok := strings.CutPrefix(text, "required flag(s) "); ok {
		return "a flag is missing: --" + strings.Trim(strings.TrimSuffix(flags, " not set"), `"`)
	}
	return text
}

// noArguments refuses arguments where a command takes none.
func noArguments(c *cobra.Command, arguments []string) error {
	if len(arguments) > 0 {
		return fmt.Errorf("found the argument %q, but %s takes flags only", arguments[0], c.CommandPath())
	}
	return nil
}

// aCommand refuses arguments of a command that has commands below it: they are meant to be one of those.
func aCommand(c *cobra.Command, arguments []string) error {
	if len(arguments) == 0 {
		return nil
	}
	var names []string
	for _, below := range c.Commands() {
		names = append(names, below.Name())
	}
	text := fmt.Sprintf("unknown command %q for %q", arguments[0], c.CommandPath())
	if near := document.Suggest(arguments[0], names); near != "" {
		text += "; did you mean " + near + "?"
	}
	return errors.New(text)
}

// coded is an error with the exit code it stands for.
type coded struct {
	code int
	err  error
}

func (c *coded) Error() string { return c.err.Error() }

// failed gives an error its exit code; nil stays nil.
func failed(err error) error {
	if err == nil {
		return nil
	}
	var problems *document.Problems
	if errors.As(err, &problems) {
		return &coded{exitConfig, err}
	}
	return &coded{exitFailed, err}
}

// tell prints an error: problems of a configuration each with its line, anything else in one line.
func tell(err error) {
	var problems *document.Problems
	if !errors.As(err, &problems) {
		fmt.Fprintf(os.Stderr, "straum: %s\n", err)
		return
	}
	fmt.Fprintln(os.Stderr, problems.Excerpts())
	what := "problems"
	if problems.Len()+problems.Dropped() == 1 {
		what = "problem"
	}
	fmt.Fprintf(os.Stderr, "\nstraum: the configuration has %d %s\n", problems.Len()+problems.Dropped(), what)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "straum",
		Short: "An API gateway for the server you own",
		Long: `Straum is an API gateway for the server you own: listeners, routes, upstreams and
policies in one strict YAML file, and everything else measured and explained.

` + exitHelp,
		Example: `  straum proxy --to http://127.0.0.1:3000     a gateway without a file
  straum demo                                 a tour: endpoints, a gateway and what to try
  straum check -c straum.yaml                 every mistake, with file, line and column
  straum run -c straum.yaml                   serve; edit the file and it is reloaded
  straum routes -c straum.yaml                which route wins, and why`,
		RunE:          func(c *cobra.Command, _ []string) error { return failed(c.Help()) },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(newRun(), newProxy(), newDemo(), newCheck(), newRoutes(), newSchema(), newVersion(),
		newStatus(), newUpstreams(), newCertificates(), newCredentials(), newBan(), newCache(), newReload(), newConfig(), newKey(), newDoctor(), newTune(), newLoad(), newCapacity(), newRehearse())
	return root
}

// configFlag is the flag that names the configuration. The function it returns gives the configuration itself, once the flags were
// read.
func configFlag(c *cobra.Command) func() (revision.Source, error) {
	path := c.Flags().StringP("config", "c", "straum.yaml", "the configuration `file`")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
	return func() (revision.Source, error) {
		if _, err := os.Stat(*path); errors.Is(err, fs.ErrNotExist) {
			return nil, &coded{exitConfig, fmt.Errorf("there is no file %s; name the configuration with -c FILE, or go without one: straum proxy, straum demo", *path)}
		}
		return revision.File(*path), nil
	}
}
