package redis

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/redis/rueidis"
)

// away are the codes of answers that mean that the store is not ready for anybody, not that the command is wrong.
var away = map[string]bool{
	"LOADING": true, "READONLY": true, "MASTERDOWN": true, "CLUSTERDOWN": true, "TRYAGAIN": true, "MOVED": true, "ASK": true, "BUSY": true,
	"NOAUTH": true, "WRONGPASS": true, "NOREPLICAS": true, "UNBLOCKED": true, "MISCONF": true,
}

// codeOf is the first word of an answer that is an error. The rest of it may quote the command, and with it what nobody should read.
func codeOf(err error) string {
	code, _, _ := strings.Cut(err.Error(), " ")
	if code == "" || len(code) > 24 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "ERR"
	}
	return code
}

// why says in words what keeps the store from answering.
func why(err error) string {
	if _, is := rueidis.IsRedisErr(err); is {
		switch code := codeOf(err); code {
		case "WRONGPASS":
			return "it refuses the username or the password; check redis.username and redis.password"
		case "NOAUTH":
			return "it asks for a password and none is set; set redis.password"
		case "NOPERM":
			return "its access list does not allow us a command we need (NOPERM); allow +@connection +get +set +del +eval +evalsha, and +cluster in a cluster"
		case "LOADING":
			return "it is still loading its data"
		case "READONLY":
			return "it is a replica, which takes no writes"
		case "CLUSTERDOWN":
			return "the cluster has no one for some of its slots"
		default:
			return "it answers with the error " + code
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, errSlow):
		return err.Error()
	case errors.Is(err, rueidis.ErrClosing):
		return "the connection is closed"
	}
	return err.Error() // of the network or TLS: they name addresses and certificates
}
