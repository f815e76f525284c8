package fault

import (
	"testing"

	"google.golang.org/grpc/codes"
)

// The numbers are those of gRPC itself.
func TestCodes(t *testing.T) {
	for ours, theirs := range map[Code]codes.Code{
		OK: codes.OK, Cancelled: codes.Canceled, Unknown: codes.Unknown, InvalidArgument: codes.InvalidArgument,
		DeadlineExceeded: codes.DeadlineExceeded, NotFound: codes.NotFound, AlreadyExists: codes.AlreadyExists,
		PermissionDenied: codes.PermissionDenied, ResourceExhausted: codes.ResourceExhausted, FailedPrecondition: codes.FailedPrecondition,
		AbortedByPeer: codes.Aborted, OutOfRange: codes.OutOfRange, Unimplemented: codes.Unimplemented, InternalError: codes.Internal,
		Unavailable: codes.Unavailable, DataLoss: codes.DataLoss, Unauthenticated: codes.Unauthenticated,
	} {
		if uint32(ours) != uint32(theirs) {
			t.Errorf("%v is %d here", theirs, ours)
		}
	}
	if numCodes != Unauthenticated+1 {
		t.Errorf("there are %d codes", numCodes)
	}
}

func TestParseCode(t *testing.T) {
	f := func(value string, want Code, ok bool) {
		t.Helper()
		if got, isNumber := ParseCode(value); got != want || isNumber != ok {
			t.Errorf("%q: %d, %v", value, got, isNumber)
		}
	}
	f("0", OK, true)
	f("14", Unavailable, true)
	f("16", Unauthenticated, true)
	f("17", Unknown, true)
	f("99999999999999999999999999", Unknown, true)
	f("", Unknown, false)
	f("00", Unknown, false)
	f("014", Unknown, false)
	f("+1", Unknown, false)
	f("1 ", Unknown, false)
	f("-1", Unknown, false)
}

// A status and the code made of it agree on whether the API is to blame.
func TestCodeOf(t *testing.T) {
	for status, want := range map[int]Code{400: InternalError, 401: Unauthenticated, 403: PermissionDenied, 404: Unimplemented,
		413: ResourceExhausted, 418: Unknown, 429: ResourceExhausted, 500: Unknown, 502: Unavailable, 503: Unavailable, 504: Unavailable} {
		if got := CodeOf(status); got != want {
			t.Errorf("%d becomes %d, want %d", status, got, want)
		}
	}
	for _, k := range Kinds() {
		if k.Status == 503 && k.Code.Status() != 503 {
			t.Errorf("%s: status %d, but code %d counts as %d", k.Word, k.Status, k.Code, k.Code.Status())
		}
	}
	for code := range numCodes {
		if s := code.Status(); s != 200 && s < 429 {
			t.Errorf("code %d counts as %d", code, s)
		}
	}
}

func TestSpeaksGRPC(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "application/grpc;v=1": true, "Application/gRPC": true,
		"application/grpc-web": false, "application/grpcish": false, "application/grp": false, "": false, "text/plain": false,
		"application/grpc ": false,
	} {
		if SpeaksGRPC(contentType) != want {
			t.Errorf("%q: %v", contentType, !want)
		}
	}
}

func TestAppendMessage(t *testing.T) {
	if got := string(AppendMessage(nil, "50% of é\r\n~\x7f")); got != "50%25 of %C3%A9%0D%0A~%7F" {
		t.Errorf("%q", got)
	}
}
