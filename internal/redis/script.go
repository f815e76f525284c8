package redis

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/redis/rueidis"
)

// errNoScript says that the store does not have the script: it is new, was flushed, or has just taken over.
var errNoScript = errors.New("the store does not have the script")

// Script is a Lua script that the store carries out as one. It is immutable.
type Script struct{ text, sum string }

// NewScript makes a script. It must name every key it touches in KEYS, all of one slot; see Client.Key.
func NewScript(text string) *Script {
	sum := sha1.Sum([]byte(text)) // what EVALSHA names scripts by; nothing rests on it being hard to forge
	return &Script{text, hex.EncodeToString(sum[:])}
}

// Run carries a script out in one trip; in two when the store does not have it yet, each with a budget of its own. keys are names
// without the prefix.
func (c *Client) Run(s *Script, keys, args []string) (Reply, error) {
	full := make([]string, len(keys))
	for i, key := range keys {
		full[i] = c.Key(key)
	}
	a := c.do(func(conn rueidis.Client) rueidis.Completed {
		return conn.B().Evalsha().Sha1(s.sum).Numkeys(int64(len(full))).Key(full...).Arg(args...).Build()
	})
	if errors.Is(a.err, errNoScript) {
		c.figures.reloads.Add(1)
		a = c.do(func(conn rueidis.Client) rueidis.Completed {
			return conn.B().Eval().Script(s.text).Numkeys(int64(len(full))).Key(full...).Arg(args...).Build()
		})
	}
	return Reply{a.message, a.absent}, a.err
}

// Reply is what a script returned.
type Reply struct {
	message rueidis.RedisMessage
	absent  bool
}

// Int is a reply that is a whole number.
func (r Reply) Int() (int64, error) {
	if !r.absent {
		if n, err := r.message.AsInt64(); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: the script returned no whole number", ErrRefused)
}

// Ints is a reply that is a list of whole numbers.
func (r Reply) Ints() ([]int64, error) {
	if !r.absent {
		if list, err := r.message.AsIntSlice(); err == nil {
			return list, nil
		}
	}
	return nil, fmt.Errorf("%w: the script returned no list of whole numbers", ErrRefused)
}

// Text is a reply that is a string, and whether there is one.
func (r Reply) Text() (string, bool) {
	if r.absent {
		return "", false
	}
	text, err := r.message.ToString()
	return text, err == nil
}
