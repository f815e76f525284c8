package limit

// Crowd is where those count, for one limit, who find no place of their own in a full Table: in one of 256 buckets, chosen by the hash of who
// they are. Each bucket has the terms of the limit, so none of those who share it gets more than the limit, and all of them together get no
// more than one would: it is strict, and whoever comes back once there is room has a bucket of its own. It outlives revisions as the table does,
// whose locks guard it: bucket i that of shard i.
type Crowd struct{ buckets [shards]bucket }

// NewCrowd makes an empty one.
func NewCrowd() *Crowd { return &Crowd{} }
