package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/client"
	"straum.dev/straum/internal/document"
)

// gatewayFlags are how the commands that speak to a running gateway find it.
type gatewayFlags struct {
	socket, file string
	json         bool
	command      *cobra.Command
}

const gatewayHelp = `It asks the running gateway over the unix socket of its admin API, which only the user that runs straum
and root may open. The socket is the one named with --socket, else admin.socket of the configuration
file, else ` + client.DefaultSocket + `.`

func addGatewayFlags(c *cobra.Command) *gatewayFlags {
	f := &gatewayFlags{command: c}
	c.Flags().StringVar(&f.socket, "socket", "", "the `path` of the gateway's admin socket")
	c.Flags().StringVarP(&f.file, "config", "c", "straum.yaml", "the `file` the gateway runs with, to learn its socket")
	c.Flags().BoolVar(&f.json, "json", false, "print the JSON of the admin API")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
	return f
}

// client makes the client of the gateway that is meant.
func (f *gatewayFlags) client() (*client.Client, error) {
	if f.socket != "" {
		return client.New(f.socket).From(operator()), nil
	}
	data, err := os.ReadFile(f.file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !f.command.Flags().Changed("config"):
		return client.New(client.DefaultSocket).From(operator()), nil
	case err != nil:
		return nil, fmt.Errorf("the socket cannot be learnt from the configuration: %w; name it with --socket", err)
	}
	path, err := socketIn(f.file, data)
	if err != nil {
		return nil, err
	}
	return client.New(path).From(operator()), nil
}

// socketIn finds the admin socket in a configuration. Other mistakes do not matter: when a file was just broken is when a look at
// the gateway is needed, which goes on with what was before. No secret is read.
func socketIn(name string, data []byte) (string, error) {
	d, err := document.Parse(name, data, document.Sources{Getenv: os.LookupEnv})
	if d == nil {
		return "", fmt.Errorf("the socket cannot be learnt from the configuration: %w; name it with --socket", err)
	}
	var c config.Config
	_ = d.Root().Decode(&c)
	if c.Admin.Off || c.Admin.Socket == "" {
		return "", fmt.Errorf("%s says that the gateway has no admin socket; give it one with admin.socket, or name another with --socket", name)
	}
	return c.Admin.Socket, nil
}

// show prints what a path answers: as JSON when that is asked for, else as print writes it.
func show[T any](f *gatewayFlags, method, path string, body any, print func(io.Writer, T) error) error {
	c, err := f.client()
	if err != nil {
		return failed(err)
	}
	text, err := c.Raw(f.command.Context(), method, path, body)
	if err != nil {
		return answered(err)
	}
	out := f.command.OutOrStdout()
	if f.json {
		var indented bytes.Buffer
		if err := json.Indent(&indented, text, "", "  "); err != nil {
			return failed(fmt.Errorf("the gateway's answer is no JSON: %w", err))
		}
		_, err = out.Write(append(bytes.TrimRight(indented.Bytes(), "\n"), '\n'))
		return failed(err)
	}
	var value T
	if err := json.Unmarshal(text, &value); err != nil {
		return failed(fmt.Errorf("the gateway's answer is not understood: %w; is it another version of straum?", err))
	}
	return failed(print(plain{out}, value))
}

// answered gives an error of the gateway its exit code: mistakes of a configuration, which are in files, have one of their own.
func answered(err error) error {
	var r *client.Refusal
	if errors.As(err, &r) && slices.ContainsFunc(r.Errors, func(m client.Mistake) bool { return m.File != "" }) {
		return &coded{exitConfig, err}
	}
	return failed(err)
}

// plain keeps what endpoints and files say from steering the terminal.
type plain struct{ to io.Writer }

func (p plain) Write(b []byte) (int, error) {
	safe := strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, string(b))
	if _, err := io.WriteString(p.to, safe); err != nil {
		return 0, err
	}
	return len(b), nil
}

// oneLine keeps text of others from starting lines of its own.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
