package http2

import "time"

// breach is a reason to end a connection. Breaches are made once: they are told apart by their address.
type breach struct {
	code  Code
	guard Guard  // which guard ended it, none for a plain breach of the protocol
	text  string // for the client, in GOAWAY
}

// Guard is what ended the connection of a client that costs more than it is worth.
type Guard uint8

// The guards.
const (
	NoGuard           Guard = iota
	GuardResets             // too many streams reset, or provoked to be, for those that were completed
	GuardControl            // too many frames that carry no request
	GuardContinuation       // a header block in too many pieces or bytes
	GuardQueue              // replies were not read
	GuardHeaderTime         // a preface or header block dripped in
	numGuards
)

func (g Guard) String() string {
	return [numGuards]string{"none", "resets", "control_frames", "header_block", "unread_replies", "header_time"}[g]
}

var (
	breachPreface       = &breach{code: ProtocolError, text: "the connection preface is not that of HTTP/2"}
	breachFirst         = &breach{code: ProtocolError, text: "the first frame is not SETTINGS"}
	breachFrameSize     = &breach{code: FrameSizeError, text: "a frame has a size it must not have"}
	breachStreamZero    = &breach{code: ProtocolError, text: "a frame stands on the wrong kind of stream"}
	breachPush          = &breach{code: ProtocolError, text: "a client must not push"}
	breachPadding       = &breach{code: ProtocolError, text: "a frame has more padding than payload"}
	breachIdle          = &breach{code: ProtocolError, text: "a frame stands on a stream that was never opened"}
	breachStreamID      = &breach{code: ProtocolError, text: "a stream was opened with an even number or out of order"}
	breachClosed        = &breach{code: StreamClosed, text: "a header block stands on a stream that is closed"}
	breachBlock         = &breach{code: ProtocolError, text: "a header block is interrupted, or goes on where none began"}
	breachCompression   = &breach{code: CompressionError, text: "a header block cannot be decompressed"}
	breachSetting       = &breach{code: ProtocolError, text: "a setting has a value it must not have"}
	breachInitialWindow = &breach{code: FlowControlError, text: "an initial window is larger than a window can be"}
	breachWindow        = &breach{code: FlowControlError, text: "the window of the connection overflows"}
	breachZeroWindow    = &breach{code: ProtocolError, text: "a window was raised by nothing"}
	breachOverrun       = &breach{code: FlowControlError, text: "more content was sent than the window of the connection allows"}
	breachDependency    = &breach{code: ProtocolError, text: "a stream depends on itself"}
	breachAck           = &breach{code: SettingsTimeout, text: "our settings were not acknowledged"}

	breachResets        = &breach{EnhanceYourCalm, GuardResets, "too many streams were reset"}
	breachControl       = &breach{EnhanceYourCalm, GuardControl, "too many frames carry no request"}
	breachSettingsFlood = &breach{EnhanceYourCalm, GuardControl, "a SETTINGS frame is longer than this listener allows"}
	breachContinuation  = &breach{EnhanceYourCalm, GuardContinuation, "a header block is longer or in more pieces than this listener allows"}
	breachQueue         = &breach{EnhanceYourCalm, GuardQueue, "replies are not read"}
	breachHeaderTime    = &breach{EnhanceYourCalm, GuardHeaderTime, "a header block did not arrive in time"}
)

// budget bounds what happens without work being done. It is paid back by work and, slowly, by time.
type budget struct {
	spent  int
	limit  int
	rate   int // paid back in a second
	since  int64
	broken *breach
}

const (
	// maxIdleFrames is how many frames without work are borne at once: frames that carry no request and no content. Those that come
	// with work, such as window updates of a download, are paid back by it.
	maxIdleFrames  = 1000
	idleFramesRate = 100
	// maxResets is how many streams may be reset at once without others being completed.
	maxResets  = 200
	resetsRate = 20
)

// spend takes n from the budget and returns a breach when it is used up. work takes what was done since it was last asked.
func (b *budget) spend(n int, now int64, work func() int) *breach {
	if b.spent += n; b.spent <= b.limit {
		return nil
	}
	b.spent = max(b.spent-work(), 0)
	if elapsed := now - b.since; elapsed > 0 {
		paid := float64(elapsed) / float64(time.Second) * float64(b.rate)
		b.spent = max(b.spent-int(min(paid, float64(b.limit))), 0)
		if paid >= 1 {
			b.since = now
		}
	}
	if b.spent > b.limit {
		return b.broken
	}
	return nil
}
