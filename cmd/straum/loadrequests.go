package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/load"
	"straum.dev/straum/internal/load/mix"
)

// requestFlags say which requests load is made of. straum load and straum capacity share them.
type requestFlags struct {
	method, body, bodyFile, mix, log string
	headers                          []string
	command                          *cobra.Command
}

func addRequestFlags(c *cobra.Command) *requestFlags {
	f := &requestFlags{command: c}
	c.Flags().StringVarP(&f.method, "method", "X", "GET", "the `method` of the requests; POST when there is a body")
	c.Flags().StringArrayVarP(&f.headers, "header", "H", nil, "a `field` of every request, as 'Name: value'; may be given several times")
	c.Flags().StringVar(&f.body, "body", "", "the body of every request, as `text`")
	c.Flags().StringVar(&f.bodyFile, "body-file", "", "the body of every request, from a `file`")
	_ = c.MarkFlagFilename("body-file")
	c.Flags().StringVar(&f.mix, "mix", "", "a `file` of several requests with their weights (docs/load.md)")
	_ = c.MarkFlagFilename("mix", "yaml", "yml")
	c.Flags().StringVar(&f.log, "log", "", "an access log to take the requests from, as often as they came: a `file` (.gz too), or - for standard input")
	_ = c.MarkFlagFilename("log")
	return f
}

// requests makes the requests of a run against a target.
func (f *requestFlags) requests(t *loadTarget) (*mix.Mix, error) {
	fields, err := f.fields()
	if err != nil {
		return nil, err
	}
	one := ""
	for _, flag := range []string{"method", "body", "body-file"} {
		if f.command.Flags().Changed(flag) {
			one = "--" + flag
		}
	}
	switch {
	case f.mix != "" && f.log != "":
		return nil, usage("found --mix and --log; give one of them")
	case f.mix == "" && f.log == "":
		return f.single(t, fields)
	case one != "":
		return nil, usage("%s is about a single request; with --mix and --log requests come from the file", one)
	case t.path() != "/":
		return nil, usage("the URL has the path %s, and --mix and --log have paths of their own; leave it out", t.path())
	case f.mix != "":
		m, err := mix.File(f.mix, mix.Options{Host: t.host, Fields: fields, Getenv: os.LookupEnv})
		return m, failed(err)
	}
	m, err := f.fromLog(t, fields)
	if err != nil {
		return nil, failed(fmt.Errorf("--log %s: %w", f.log, err))
	}
	return m, nil
}

// fields are what -H says.
func (f *requestFlags) fields() ([]load.Field, error) {
	var out []load.Field
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, usage("-H: found no colon behind a name; allowed: 'Name: value'") // what was found may be a secret
		}
		if strings.EqualFold(name, "host") {
			return nil, usage("-H: the field Host is given by --host")
		}
		if why := mix.Reserved(name); why != "" {
			return nil, usage("-H: the field %s cannot be given: %s", name, why)
		}
		out = append(out, load.Field{Name: name, Value: strings.TrimSpace(value)})
	}
	return out, nil
}

// single is one request alone.
func (f *requestFlags) single(t *loadTarget, fields []load.Field) (*mix.Mix, error) {
	q := load.Request{Method: f.method, Host: t.host, Target: t.path(), Fields: fields, Body: []byte(f.body), Weight: 1}
	if f.bodyFile != "" {
		if f.body != "" {
			return nil, usage("found --body and --body-file; give one of them")
		}
		file, err := os.Open(f.bodyFile)
		if err != nil {
			return nil, failed(fmt.Errorf("--body-file: %w", err))
		}
		defer file.Close()
		if q.Body, err = io.ReadAll(io.LimitReader(file, mix.MaxBody+1)); err != nil {
			return nil, failed(fmt.Errorf("--body-file: %w", err))
		}
	}
	if len(q.Body) > mix.MaxBody {
		return nil, usage("the body has more than %d MiB, which is the most one may have", mix.MaxBody>>20)
	}
	if len(q.Body) > 0 && !f.command.Flags().Changed("method") {
		q.Method = "POST"
	}
	if len(q.Body) == 0 {
		q.Body = nil
	}
	q.Name = q.Method + " " + q.Target
	return &mix.Mix{Requests: []load.Request{q}}, nil
}

// fromLog reads an access log, compressed or not.
func (f *requestFlags) fromLog(t *loadTarget, fields []load.Field) (*mix.Mix, error) {
	in := f.command.InOrStdin()
	if f.log != "-" {
		file, err := os.Open(f.log)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	buffered := bufio.NewReaderSize(in, 64<<10)
	in = buffered
	if magic, _ := buffered.Peek(2); string(magic) == "\x1f\x8b" {
		unpacked, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, err
		}
		in = unpacked
	}
	return mix.Log(in, mix.LogOptions{Host: t.host, Fields: fields})
}
