package doctor

import (
	"slices"
	"time"
)

// measured is how long what was measured on a disk, a clock or somebody else is good for while a box is watched.
const measured = time.Minute

// Checks are all, in the order they are told: by group, and within it as one would ask. Settings of the kernel come from package setting.
func Checks() []Check {
	return slices.Concat(
		[]Check{
			{ID: "steal", Group: "processor", Look: lookSteal},
			{ID: "cpu_pressure", Group: "processor", Look: lookPressure},
			{ID: "cpu_quota", Group: "processor", Look: lookQuota},
			{ID: "softirq", Group: "processor", Look: lookSoftirq},
			{ID: "governor", Group: "processor", Look: lookGovernor},
			{ID: "aes", Group: "processor", Look: lookAES, Keeps: measured},

			{ID: "memory_left", Group: "memory", Look: lookMemory},
			{ID: "memory_budget", Group: "memory", Look: lookBudget},
			{ID: "swap", Group: "memory", Look: lookSwap},
			{ID: "oom_kills", Group: "memory", Look: lookOOM},

			{ID: "disk_kind", Group: "disk", Look: lookKind},
			{ID: "disk_space", Group: "disk", Look: lookSpace},
			{ID: "disk_latency", Group: "disk", Look: lookLatency, Keeps: measured},

			{ID: "retransmits", Group: "network", Look: lookRetransmits},
			{ID: "nic_drops", Group: "network", Look: lookDrops},
			{ID: "nic_speed", Group: "network", Look: lookSpeed},
			{ID: "nic_queues", Group: "network", Look: lookQueues},
			{ID: "nic_offloads", Group: "network", Look: lookOffloads, Keeps: measured},
			{ID: "ipv6", Group: "network", Look: lookIPv6},

			{ID: "clock_sync", Group: "time", Look: lookSync},
			{ID: "clock_source", Group: "time", Look: lookSource, Keeps: measured},

			{ID: "guest", Group: "kernel", Look: lookGuest},
			{ID: "kernel_version", Group: "kernel", Look: lookVersion},
		},
		settings(),
		[]Check{
			{ID: "configuration", Group: "gateway", Look: lookConfiguration},
			{ID: "attention", Group: "gateway", Look: lookAttention},
			{ID: "certificates", Group: "gateway", Look: lookCertificates, Keeps: measured},
			{ID: "endpoints", Group: "gateway", Look: lookEndpoints, Keeps: measured},
			{ID: "resolvers", Group: "gateway", Look: lookResolvers, Keeps: measured},
			{ID: "service", Group: "gateway", Look: lookService},

			{ID: "rights", Group: "security", Look: lookRights},
			{ID: "sandbox", Group: "security", Look: lookSandbox},
			{ID: "exposure", Group: "security", Look: lookExposure},
			{ID: "file_modes", Group: "security", Look: lookFiles},
			{ID: "entropy", Group: "security", Look: lookEntropy},
			{ID: "core_dumps", Group: "security", Look: lookDumps},
		},
	)
}
