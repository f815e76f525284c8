package redis

import (
	"fmt"

	"github.com/redis/rueidis"
)

// Available says whether a call would be tried now. It costs two loads, for work that is only worth doing for a store that answers.
func (c *Client) Available() bool { return c.conn.Load() != nil && !c.gate.shut.Load() }

// GetUpTo is the value of a key, of which no more than max bytes are fetched, whatever somebody put there. A key that is not there has an
// empty value. The value is the caller's.
func (c *Client) GetUpTo(key string, max int64) ([]byte, error) {
	r := c.do(func(conn rueidis.Client) rueidis.Completed {
		return conn.B().Getrange().Key(c.Key(key)).Start(0).End(max - 1).Build()
	})
	if r.absent || r.err != nil {
		return nil, r.err
	}
	value, err := r.message.AsBytes()
	if err != nil {
		return nil, fmt.Errorf("%w: the value is no string", ErrRefused)
	}
	return value, nil
}

// Texts is a reply that is a list of strings.
func (r Reply) Texts() ([]string, error) {
	refused := fmt.Errorf("%w: the script returned no list of strings", ErrRefused)
	if r.absent {
		return nil, refused
	}
	list, err := r.message.ToArray()
	if err != nil {
		return nil, refused
	}
	texts := make([]string, len(list))
	for i := range list {
		if texts[i], err = list[i].ToString(); err != nil {
			return nil, refused
		}
	}
	return texts, nil
}
