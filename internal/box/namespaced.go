package box

import "strings"

// namespaced says whether a key belongs to a namespace that a container has for itself, rather than to the whole machine. The lists are
// those of the kernel's tables net/core/sysctl_net_core.c, net/ipv4/sysctl_net_ipv4.c and net/netfilter/nf_conntrack_standalone.c.
func namespaced(key string, v Version) bool {
	switch {
	case strings.HasPrefix(key, "net.core."):
		rest := key[len("net.core."):]
		if since, ok := coreOwn[rest]; ok {
			return v.AtLeast(since[0], since[1])
		}
		return strings.HasPrefix(rest, "xfrm_")
	case strings.HasPrefix(key, "net.ipv4."):
		rest := key[len("net.ipv4."):]
		if ipv4Shared[rest] {
			return false
		}
		return v.AtLeast(4, 15) || !strings.HasPrefix(rest, "tcp_") || ipv4Early[rest]
	case strings.HasPrefix(key, "net.netfilter."):
		return !conntrackShared[key[len("net.netfilter."):]]
	case key == "net.nf_conntrack_max":
		return false
	case strings.HasPrefix(key, "net."):
		return true
	}
	for _, prefix := range []string{"kernel.shm", "kernel.msg", "kernel.sem", "kernel.hostname", "kernel.domainname", "fs.mqueue."} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// coreOwn are the keys of net.core that each network namespace has, and since which kernel. From 6.10 on rmem_max and its like are shown in
// each, but may be written in the first only.
var coreOwn = map[string][2]int{
	"somaxconn": {2, 6}, "txrehash": {5, 18}, "rps_default_mask": {6, 3}, "optmem_max": {6, 8}, "tstamp_allow_data": {6, 15},
}

// ipv4Shared are those of net.ipv4 that all namespaces share.
var ipv4Shared = map[string]bool{
	"tcp_mem": true, "udp_mem": true, "tcp_max_orphans": true, "tcp_low_latency": true, "tcp_available_ulp": true, "fib_sync_mem": true,
	"inet_peer_threshold": true, "inet_peer_minttl": true, "inet_peer_maxttl": true, "ipfrag_secret_interval": true, "ipfrag_max_dist": true,
}

// ipv4Early are those of TCP that each namespace had before 4.15, which gave them the others.
var ipv4Early = map[string]bool{
	"tcp_keepalive_time": true, "tcp_keepalive_intvl": true, "tcp_keepalive_probes": true, "tcp_syncookies": true, "tcp_fin_timeout": true,
	"tcp_syn_retries": true, "tcp_synack_retries": true, "tcp_retries1": true, "tcp_retries2": true, "tcp_orphan_retries": true,
	"tcp_notsent_lowat": true, "tcp_reordering": true, "tcp_ecn": true, "tcp_ecn_fallback": true, "tcp_mtu_probing": true, "tcp_base_mss": true,
	"tcp_probe_threshold": true, "tcp_probe_interval": true,
}

// conntrackShared are those of the connection tracker that only the first namespace may write.
var conntrackShared = map[string]bool{"nf_conntrack_max": true, "nf_conntrack_buckets": true, "nf_conntrack_expect_max": true}
