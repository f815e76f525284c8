package load

import "encoding/binary"

// preface is what a client begins with (RFC 9113 §3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Types of frames (RFC 9113 §6).
const (
	frameData = iota
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

// Flags; the same bit says different things on different frames.
const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// Settings (RFC 9113 §6.5.2).
const (
	settingTableSize     = 1
	settingPush          = 2
	settingStreams       = 3
	settingInitialWindow = 4
	settingFrameSize     = 5
)

const (
	frameHead   = 9
	mostPayload = 1 << 14 // of frames to us: the default, which we leave
	firstWindow = 1<<16 - 1
	mostWindow  = 1<<31 - 1
	codeCancel  = 8
)

// frame is the head of a frame.
type frame struct {
	length int
	kind   byte
	flags  byte
	stream uint32
}

func parseFrame(b []byte) frame {
	return frame{int(b[0])<<16 | int(b[1])<<8 | int(b[2]), b[3], b[4], binary.BigEndian.Uint32(b[5:]) & mostWindow}
}

func appendFrame(b []byte, length int, kind, flags byte, stream uint32) []byte {
	b = append(b, byte(length>>16), byte(length>>8), byte(length), kind, flags)
	return binary.BigEndian.AppendUint32(b, stream)
}

func appendSetting(b []byte, id uint16, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, id), value)
}

func appendWindow(b []byte, stream, more uint32) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, 4, frameWindow, 0, stream), more)
}

func appendReset(b []byte, stream, code uint32) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, 4, frameReset, 0, stream), code)
}

// unpadded is a payload without its padding (RFC 9113 §6.1), and of HEADERS without the priority. false: it is longer than the frame.
func unpadded(f frame, b []byte) ([]byte, bool) {
	if f.flags&flagPadded != 0 {
		if len(b) == 0 || int(b[0]) >= len(b) {
			return nil, false
		}
		b = b[1 : len(b)-int(b[0])]
	}
	if f.kind == frameHeaders && f.flags&flagPriority != 0 {
		if len(b) < 5 {
			return nil, false
		}
		b = b[5:]
	}
	return b, true
}

// plainBlock tells whether a block of header fields leaves the table of those who read it as it was: it has no literal that is to be
// remembered and no change of the table's size (RFC 7541 §6). Such a block says the same again as long as the table is the same.
func plainBlock(b []byte) bool {
	for len(b) > 0 {
		ok := true
		switch c := b[0]; {
		case c&0x80 != 0: // indexed
			_, b, ok = varint(b, 7)
		case c&0x40 != 0 || c&0x20 != 0:
			return false
		default: // a literal that is not remembered
			var index uint64
			if index, b, ok = varint(b, 4); ok && index == 0 {
				b, ok = skipText(b)
			}
			if ok {
				b, ok = skipText(b)
			}
		}
		if !ok {
			return false // for the decoder to find
		}
	}
	return true
}

func skipText(b []byte) ([]byte, bool) {
	n, b, ok := varint(b, 7)
	if !ok || n > uint64(len(b)) {
		return nil, false
	}
	return b[n:], true
}

// varint reads a number with a prefix of so many bits (RFC 7541 §5.1).
func varint(b []byte, prefix int) (n uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	most := uint64(1)<<prefix - 1
	if n = uint64(b[0]) & most; n < most {
		return n, b[1:], true
	}
	for i, shift := 1, 0; i < len(b) && shift < 28; i, shift = i+1, shift+7 {
		n += uint64(b[i]&0x7f) << shift
		if b[i]&0x80 == 0 {
			return n, b[i+1:], true
		}
	}
	return 0, nil, false
}
