package policy

import (
	"log/slog"

	"straum.dev/straum/internal/consumer"
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
}
