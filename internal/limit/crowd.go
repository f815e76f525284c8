package limit

import "sync/atomic"

// Crowd is where those count, for one limit, who find no place of their own in a full Table: in one of 256 buckets, chosen by the hash of who
// they are. Each bucket has the terms of the limit, so none of those who share it gets more than the limit, and all of them together get no
// more than one would: it is strict, and whoever comes back once there is room has a bucket of its own. It outlives revisions as the table does,
// whose locks guard it: bucket i that of shard i. It takes memory, 8 KiB, once somebody needs it: there may be 100,000 limits.
type Crowd struct {
	buckets atomic.Pointer[[shards]bucket]
}

// NewCrowd makes an empty one.
func NewCrowd() *Crowd { return &Crowd{} }

// bucket is that of a shard, whose lock is held; those of others may be held by others.
func (c *Crowd) bucket(at int) *bucket {
	all := c.buckets.Load()
	if all == nil {
		c.buckets.CompareAndSwap(nil, new([shards]bucket))
		all = c.buckets.Load()
	}
	return &all[at]
}
