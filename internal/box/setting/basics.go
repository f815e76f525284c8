package setting

import (
	"strconv"

	"straum.dev/straum/internal/box"
)

// Four parts of TCP are on since long, and old recipes switch them off.

func judgeTimestamps(s *Sight) Verdict {
	return s.on("net.ipv4.tcp_timestamps", "Timestamps keep old segments of a fast connection apart from new ones, measure the round trip, and make ports in TIME-WAIT safe to take again.",
		"They cost 12 bytes a segment and show nothing of the box's uptime since 4.10.")
}

func judgeSelective(s *Sight) Verdict {
	return s.on("net.ipv4.tcp_sack", "Selective acknowledgements let the sender repeat what was lost and nothing else.",
		"The holes of 2019 (CVE-2019-11477) are mended in every maintained kernel.")
}

func judgeScaling(s *Sight) Verdict {
	return s.on("net.ipv4.tcp_window_scaling", "Without it no more than 64 KiB are under way: 5 Mbit/s over a path of 100 ms.", "")
}

func judgeModeration(s *Sight) Verdict {
	return s.on("net.ipv4.tcp_moderate_rcvbuf", "With it the kernel sizes receive buffers to the path.", "")
}

func (s *Sight) on(key, why, more string) Verdict {
	is, err := s.number(key)
	if err != nil {
		return unread(err, why)
	}
	text := strconv.FormatInt(is, 10)
	if is != 0 {
		return fine(text, why)
	}
	if more != "" {
		why += " " + more
	}
	return propose(box.Warning, text, "1", why)
}
