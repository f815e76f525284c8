package setting

import (
	"errors"
	"io/fs"
)

// judgeMigration is about connections in the queue of a listening socket that closes while others share its address (since 5.14).
func judgeMigration(s *Sight) Verdict {
	is, err := s.text("net.ipv4.tcp_migrate_req")
	switch {
	case errors.Is(err, fs.ErrNotExist) && !s.since(5, 14):
		return fine("not there", "Kernels before 5.14 do not have it. The gateway accepts what waits in a socket's queue before it closes the socket.")
	case err != nil:
		return unread(err, "Kernels since 5.14 have it. The gateway does not need it: it accepts what waits in a socket's queue before it closes the socket.")
	}
	return fine(is, "The gateway accepts what waits in a socket's queue before it closes the socket, so nothing has to move to another one. Left as it is.")
}
