package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/doctor"
	"straum.dev/straum/internal/box/setting"
	"straum.dev/straum/internal/control/client"
	"straum.dev/straum/internal/control/revision"
)

const (
	// installed is where packages put the configuration.
	installed = "/etc/straum/straum.yaml"
	// askLimit is how long the gateway may take to answer.
	askLimit = 3 * time.Second
)

// acquaintance is what doctor knows before it looks: the box, the configuration and the gateway.
type acquaintance struct {
	patient doctor.Patient
	notes   []string // what stood in the way
	stamp   string   // of the configuration's files
}

// meet makes the acquaintance. known is that of the look before, nil at first: a configuration whose files have not changed is not read again.
func (d *doctoring) meet(ctx context.Context, known *acquaintance) (*acquaintance, error) {
	a := &acquaintance{}
	p := &a.patient
	p.Machine, p.Probes = box.Here(), doctor.Here()
	p.Facts = p.Machine.Facts()
	file, err := d.configuration()
	if err != nil && known == nil {
		return nil, err
	}
	status := a.ask(ctx, d.socket, file)
	if file == "" {
		file = fallback(status)
	}
	if file != "" {
		a.read(file, known)
	}
	p.Workload = setting.Asked(p.Config)
	return a, nil
}

// pid is the gateway's; 0 when none answered.
func (a *acquaintance) pid() int {
	if a.patient.Running == nil {
		return 0
	}
	return a.patient.Running.PID
}

// volumes are the directories whose disks are watched.
func (a *acquaintance) volumes() map[string]string { return doctor.Volumes(a.patient.Config) }

// configuration is the file that is meant; empty when none is named and none lies here.
func (d *doctoring) configuration() (string, error) {
	named := d.command.Flags().Changed("config")
	_, err := os.Stat(d.file)
	switch {
	case err == nil:
		return d.file, nil
	case named:
		return d.file, &coded{exitConfig, fmt.Errorf("the configuration cannot be read: %w", err)}
	}
	return "", nil
}

// fallback is the file of the gateway that answered, or where packages put it.
func fallback(s *client.Status) string {
	if s != nil && filepath.IsAbs(s.Revision.File) {
		return s.Revision.File
	}
	if _, err := os.Stat(installed); err == nil {
		return installed
	}
	return ""
}

// read judges a configuration as a gateway would. One with mistakes is a finding, not the end.
func (a *acquaintance) read(file string, known *acquaintance) {
	p := &a.patient
	p.File = file
	if known != nil && known.patient.File == file && known.patient.Config != nil && known.stamp == stamped(known.patient.Config.Files()) {
		p.Config, a.stamp = known.patient.Config, known.stamp
		return
	}
	f, err := os.Open(file) // one that this user may not read is none with mistakes
	if err != nil {
		p.Mistakes = err
		return
	}
	_ = f.Close()
	// What a file names lies beside it, and checks look for that from the box's root.
	if file, p.Mistakes = filepath.Abs(file); p.Mistakes != nil {
		return
	}
	if p.Config, _, p.Mistakes = judge(revision.File(file)); p.Mistakes != nil {
		p.Config = nil
		return
	}
	a.stamp = stamped(p.Config.Files())
}

// stamped is a text that is another one once a file is.
func stamped(files []string) string {
	var b strings.Builder
	for _, f := range files {
		if s, err := os.Stat(f); err == nil {
			fmt.Fprintln(&b, f, s.Size(), s.ModTime().UnixNano())
		}
	}
	return b.String()
}

// ask asks the running gateway. One that does not answer is a note and no error.
func (a *acquaintance) ask(ctx context.Context, socket, file string) *client.Status {
	if socket == "" {
		socket = meant(file)
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	gateway := client.New(socket)
	s, err := gateway.Status(ctx)
	if err != nil {
		a.notes = append(a.notes, oneLine(err.Error()))
		return nil
	}
	r := &doctor.Running{PID: behind(ctx, socket), Version: s.Version, Listeners: map[string]string{}}
	if r.PID == 0 {
		a.notes = append(a.notes, "the gateway's process cannot be seen from here (it is in another container); what its files under /proc say is unknown")
	}
	for _, l := range s.Listeners {
		r.Listeners[l.Name] = l.Address
	}
	for _, why := range s.Attention {
		r.Attention = append(r.Attention, oneLine(why.Reason))
	}
	lost := s.AccessLog.Lost
	r.LogLost = lost.Slow + lost.Failing + lost.Closed
	if b, err := gateway.Box(ctx); err == nil { // not in its first second
		r.Memory = b.MemoryLimit
		if r.Memory == 0 {
			r.Memory = math.MaxInt64
		}
		r.Sandbox, r.Lacking = sandboxed(b.Sandbox)
	}
	a.patient.Running = r
	return &s
}

// sandboxed says in words what stands between the gateway and the box, and what of it does not.
func sandboxed(s *client.Sandbox) (is string, lacking []string) {
	if s == nil {
		return "nothing is in force", []string{"all of it"}
	}
	var parts []string
	if s.NoNewPrivileges {
		parts = append(parts, "no new privileges")
	}
	if s.Landlock > 0 {
		parts = append(parts, fmt.Sprintf("files within Landlock %d: %s to read, %s to write", s.Landlock, count(len(s.Read), "place"), count(len(s.Write), "place")))
	}
	left := "no capabilities"
	if len(s.Capabilities) > 0 {
		left = "capabilities " + strings.Join(s.Capabilities, ", ")
	}
	for _, l := range s.Lacking {
		lacking = append(lacking, oneLine(l))
	}
	return strings.Join(append(parts, left), "; "), lacking
}

// meant is the admin socket of the configuration, or of the one that is installed.
func meant(file string) string {
	for _, f := range slices.DeleteFunc([]string{file, installed}, func(f string) bool { return f == "" }) {
		data, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if in, err := socketIn(f, data); err == nil {
			return in
		}
		break
	}
	return client.DefaultSocket
}
