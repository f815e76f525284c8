package metrics

import "straum.dev/straum/internal/edge/fault"

// grpcCodes is how many statuses gRPC has.
const grpcCodes = int(fault.Unauthenticated) + 1

// grpcNames are the labels of the statuses, as gRPC writes them in its documents.
var grpcNames = [grpcCodes]string{
	fault.OK: "ok", fault.Cancelled: "cancelled", fault.Unknown: "unknown", fault.InvalidArgument: "invalid_argument",
	fault.DeadlineExceeded: "deadline_exceeded", fault.NotFound: "not_found", fault.AlreadyExists: "already_exists",
	fault.PermissionDenied: "permission_denied", fault.ResourceExhausted: "resource_exhausted", fault.FailedPrecondition: "failed_precondition",
	fault.AbortedByPeer: "aborted", fault.OutOfRange: "out_of_range", fault.Unimplemented: "unimplemented", fault.InternalError: "internal",
	fault.Unavailable: "unavailable", fault.DataLoss: "data_loss", fault.Unauthenticated: "unauthenticated",
}

// grpcFaulty says that a status means what a 5xx does. Unimplemented does not: it is what clients are told that ask for what is not
// published.
func grpcFaulty(code fault.Code) bool { return code != fault.Unimplemented && code.Status() >= 500 }
