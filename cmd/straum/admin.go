package main

import (
	"log/slog"
	"time"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/admin"
)

// newAdmin makes the admin API of the parts that there are. Nothing listens before applyAdmin.
func (g *gateway) newAdmin(b build, started time.Time) *admin.Admin {
	return admin.New(admin.Sources{
		Version: b.Version, Commit: b.Commit, Started: started,
		Ready:     g.unready,
		Revisions: g.revisions,
		Listeners: g.listeners.Stats,
		Upstreams: g.upstreams,
		Secure:    g.secure.status,
		Consumers: g.world.consumers.Load,
		Attention: func() []admin.Reason {
			return append(append(g.world.attention(), g.caches.attention()...), append(g.bans.attention(), g.sandbox.attention()...)...)
		},
		Bans: g.bans, KernelBans: g.bans.kernel, Operator: g.bans.operator,
		Box:   g.boxed,
		Cache: g.caches, Explain: g.edge.Explain,
		Exchanges: g.metrics.Summary,
		AccessLog: g.access.Stats,
		Log:       g.log,
	})
}

// adminSettings are where a configuration wants the admin API.
func adminSettings(c *config.Admin) admin.Settings {
	if c.Off {
		return admin.Settings{}
	}
	return admin.Settings{Socket: c.Socket, Address: c.Address.String(), Token: c.Token}
}

// applyAdmin serves the admin API where c says. After an error it is served where it was.
//
// The default socket is not worth a gateway that does not start: a user who may not write to /run, or a second gateway on the box,
// gets none and is told.
func applyAdmin(a *admin.Admin, c *config.Admin, log *slog.Logger) error {
	want := adminSettings(c)
	err := a.Apply(want)
	if err == nil || want.Socket == "" || c.Node.Has("socket") {
		return err
	}
	socket := want.Socket
	want.Socket = ""
	if without := a.Apply(want); without != nil {
		return without // it was not for the socket
	}
	log.Warn("no admin socket, so straum status and others find no gateway; set admin.socket to a path this user may write to, or admin: off",
		"socket", socket, "error", err.Error())
	return nil
}
