// Package sandbox gives up what the process does not need once it serves: capabilities, the gaining of privileges, and the file system
// beyond the places that a configuration names (Landlock, where the kernel has it).
//
// It serves no step of a request. It refuses to be undone: what is given up is gone until the process ends. It refuses to fail for want of
// a kernel that can: what is not in force is told. It refuses to stand in the way of the network: whom a gateway connects to and where it
// listens is for its configuration to say.
//
// In reading order: sandbox.go (what is wanted, what is in force), enter_linux.go (the steps), reach_linux.go (which files need
// capabilities), landlock_linux.go, capabilities_linux.go, threads_linux.go (every thread is looked at), refuse_linux.go (whose fault a
// refusal is).
package sandbox

// Wants is what the process still needs.
type Wants struct {
	// Read, Write and Execute are directories with all below them, and files; absolute. What may be written may be read, and so may what
	// may be run. Those that do not exist are told in Lacking.
	Read, Write, Execute []string
	// Move says that files are moved between directories below Write. Landlock before its version 2 (Linux 5.19) always refuses that, so
	// the file system stays open there.
	Move bool
	// Abstract says that unix sockets of others are reached that have no file.
	Abstract bool
	// Capabilities are kept if the process has them: "CAP_NET_BIND_SERVICE". CAP_DAC_READ_SEARCH and CAP_DAC_OVERRIDE are kept without being
	// asked for where the places above cannot be used otherwise, and told.
	Capabilities []string
}

// InForce is what stands between the process and the box. It is immutable; nil is nothing.
type InForce struct {
	NoNewPrivileges bool     `json:"no_new_privileges"`
	Capabilities    []string `json:"capabilities"` // that are left, by number
	Landlock        int      `json:"landlock"`     // version of its interface in use; 0 is none
	Read            []string `json:"read"`
	Write           []string `json:"write"`
	Execute         []string `json:"execute,omitempty"`
	Lacking         []string `json:"lacking,omitempty"` // what is not in force, and why, in words

	wants Wants
}
