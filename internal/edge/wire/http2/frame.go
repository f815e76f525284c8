package http2

import "encoding/binary"

// preface is what a client begins with (RFC 9113 §3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// kind is the type of a frame (RFC 9113 §6).
type kind uint8

const (
	frameData kind = iota
	frameHeaders
	framePriority
	frameReset
	frameSettings
	framePush
	framePing
	frameGoAway
	frameWindow
	frameContinuation
)

// The flags of frames. Those that mean different things on different frames share a bit.
const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// The settings we send or look at (RFC 9113 §6.5.2, RFC 8441 §3).
const (
	settingTableSize      = 0x1
	settingPush           = 0x2
	settingStreams        = 0x3
	settingInitialWindow  = 0x4
	settingFrameSize      = 0x5
	settingHeaderListSize = 0x6
	settingConnect        = 0x8
)

const (
	headerSize  = 9       // of a frame
	frameSize   = 1 << 14 // largest payload we take or send
	maxWindow   = 1<<31 - 1
	firstWindow = 1<<16 - 1 // of connections and streams before anything is said
	// maxSettings bounds a SETTINGS frame: far more than there are settings.
	maxSettings = 6 * 64
)

// Code is why a stream or a connection ended (RFC 9113 §7).
type Code uint32

// The codes of the standard.
const (
	NoError Code = iota
	ProtocolError
	InternalError
	FlowControlError
	SettingsTimeout
	StreamClosed
	FrameSizeError
	RefusedStream
	Cancel
	CompressionError
	ConnectError
	EnhanceYourCalm
	InadequateSecurity
	HTTP11Required
	numCodes
)

func (c Code) String() string {
	if c >= numCodes {
		return "unknown"
	}
	return [numCodes]string{"no_error", "protocol_error", "internal_error", "flow_control_error", "settings_timeout", "stream_closed",
		"frame_size_error", "refused_stream", "cancel", "compression_error", "connect_error", "enhance_your_calm",
		"inadequate_security", "http_1_1_required"}[c]
}

// header is what stands before every payload.
type header struct {
	length int
	kind   kind
	flags  uint8
	stream uint32
}

func readHeader(b []byte) header {
	_ = b[headerSize-1]
	return header{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		kind:   kind(b[3]),
		flags:  b[4],
		stream: binary.BigEndian.Uint32(b[5:]) & maxWindow,
	}
}

func (h *header) has(flag uint8) bool { return h.flags&flag != 0 }

// lead is how many bytes of a frame must be there before it can be looked at. Content and what is skipped are taken as they come, so
// that nobody has to hold a whole frame; all else is small or a header block.
func (h *header) lead() int {
	switch h.kind {
	case frameData:
		if h.has(flagPadded) && h.length > 0 {
			return headerSize + 1
		}
		return headerSize
	case frameHeaders, frameContinuation, framePriority, frameReset, frameSettings, framePing, frameWindow:
		return headerSize + h.length
	}
	return headerSize
}

// check finds what is wrong with a frame by its first nine bytes alone.
func (h *header) check() *breach {
	if h.length > frameSize {
		return breachFrameSize
	}
	size := -1
	switch h.kind {
	case framePriority:
		size = 5
	case frameReset, frameWindow:
		size = 4
	case framePing:
		size = 8
	case frameSettings:
		if h.length%6 != 0 || h.has(flagAck) && h.length != 0 {
			return breachFrameSize
		}
		if h.length > maxSettings {
			return breachSettingsFlood
		}
	case framePush:
		return breachPush
	}
	if size >= 0 && h.length != size {
		return breachFrameSize
	}
	switch h.kind {
	case frameSettings, framePing, frameGoAway:
		if h.stream != 0 {
			return breachStreamZero
		}
	case frameData, frameHeaders, framePriority, frameReset, frameContinuation:
		if h.stream == 0 {
			return breachStreamZero
		}
	}
	return nil
}

func appendHeader(out []byte, length int, k kind, flags uint8, stream uint32) []byte {
	return append(out, byte(length>>16), byte(length>>8), byte(length), byte(k), flags,
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

func appendReset(out []byte, stream uint32, code Code) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(out, 4, frameReset, 0, stream), uint32(code))
}

func appendWindow(out []byte, stream uint32, n int64) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(out, 4, frameWindow, 0, stream), uint32(n))
}

func appendGoAway(out []byte, last uint32, code Code, why string) []byte {
	out = appendHeader(out, 8+len(why), frameGoAway, 0, 0)
	out = binary.BigEndian.AppendUint32(out, last)
	out = binary.BigEndian.AppendUint32(out, uint32(code))
	return append(out, why...)
}

func appendSetting(out []byte, id uint16, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(out, id), value)
}

// appendBlock appends a header block as a HEADERS frame and as many CONTINUATION frames as it takes.
func appendBlock(out []byte, stream uint32, block []byte, flags uint8) []byte {
	k := frameHeaders
	for len(block) > frameSize {
		out = appendHeader(out, frameSize, k, flags, stream)
		out = append(out, block[:frameSize]...)
		block, k, flags = block[frameSize:], frameContinuation, 0
	}
	out = appendHeader(out, len(block), k, flags|flagEndHeaders, stream)
	return append(out, block...)
}
