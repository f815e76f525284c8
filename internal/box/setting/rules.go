package setting

// Rules are all, in the order they are told: from the way in to the way out, then what both share. Where one setting is only good once
// another was written, that one stands before it.
func Rules() []Rule {
	return []Rule{
		// A connection comes in.
		rule("net.core.somaxconn", judgeQueue),
		rule("net.ipv4.tcp_max_syn_backlog", judgeHandshakes),
		rule("net.ipv4.tcp_syncookies", judgeCookies),
		rule("net.ipv4.tcp_fastopen", judgeFastOpen),
		rule("net.ipv4.tcp_migrate_req", judgeMigration),
		rule("net.core.netdev_max_backlog", judgeReceived),
		rule("net.core.netdev_budget", judgeRound),
		// A connection goes out.
		rule("net.ipv4.ip_local_reserved_ports", judgeReserved),
		rule("net.ipv4.ip_local_port_range", judgePorts),
		rule("net.ipv4.tcp_tw_reuse", judgeTimeWait),
		rule("net.ipv4.tcp_fin_timeout", judgeFinWait),
		// Bytes move.
		rule("net.ipv4.tcp_congestion_control", judgeCongestion),
		rule("net.core.default_qdisc", judgeQueueing),
		rule("net.ipv4.tcp_slow_start_after_idle", judgeIdleStart),
		rule("net.ipv4.tcp_rmem", judgeReceiveBuffers),
		rule("net.ipv4.tcp_wmem", judgeSendBuffers),
		rule("net.core.rmem_max", judgeReceiveCap),
		rule("net.core.wmem_max", judgeSendCap),
		rule("net.ipv4.tcp_notsent_lowat", judgeUnsent),
		rule("net.ipv4.tcp_mtu_probing", judgeProbing),
		rule("net.ipv4.tcp_keepalive_time", judgeKeepAlive),
		rule("net.ipv4.tcp_timestamps", judgeTimestamps),
		rule("net.ipv4.tcp_sack", judgeSelective),
		rule("net.ipv4.tcp_window_scaling", judgeScaling),
		rule("net.ipv4.tcp_moderate_rcvbuf", judgeModeration),
		// Connections are tracked.
		rule("net.netfilter.nf_conntrack_buckets", judgeBuckets),
		rule("net.netfilter.nf_conntrack_max", judgeTracked),
		// Files and memory.
		rule("fs.file-max", judgeFiles),
		rule("fs.nr_open", judgeOpenCeiling),
		rule("LimitNOFILE", judgeDescriptors),
		rule("vm.swappiness", judgeSwappiness),
		rule("vm.overcommit_memory", judgeOvercommit),
		rule("thp", judgeHugePages),
	}
}
