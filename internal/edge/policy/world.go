package policy

import (
	"log/slog"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/cache"
	"straum.dev/straum/internal/keyring"
	"straum.dev/straum/internal/redis"
)

// World is what a policy reaches beyond the exchange while a revision is put in force. It belongs to one revision.
type World struct {
	// State keeps what outlives the revision.
	State *State
	// Consumers are those of the revision with their credentials; never nil.
	Consumers *consumer.Directory
	// Redis is the shared store, nil when the configuration has none.
	Redis *redis.Client
	// Keys derives keys that outlive a restart and, in a fleet, are the same on every node.
	Keys *keyring.Ring
	Log  *slog.Logger
	// Dir is where a policy keeps what must outlive a restart, in files that begin with its name; empty for a revision that is only judged.
	Dir string
	// Cache is the gateway's; nil for a revision that is only judged.
	Cache *cache.Cache
	// Shadow copies requests for a second upstream; nil for a revision that is only judged.
	Shadow Shadow
	// Note is told of files that are read besides those that Options.Beside was asked for; nil when nobody wants to know.
	Note func(path string)

	bound map[Binder]bound
}

// Reads says that Bind is about to read a file that no option names, such as one that another file refers to: a reload reads it again when it
// has changed, or when it is there by then.
func (w *World) Reads(path string) {
	if w.Note != nil {
		w.Note(path)
	}
}

// bound is what a Binder made of itself.
type bound struct {
	policy any
	err    error
}

// bind binds a policy once for the revision, however many chains it is part of. Chains are bound one after the other.
func (w *World) bind(b Binder) (any, error) {
	made, done := w.bound[b]
	if !done {
		made.policy, made.err = b.Bind(w)
		if w.bound == nil {
			w.bound = map[Binder]bound{}
		}
		w.bound[b] = made
	}
	return made.policy, made.err
}
