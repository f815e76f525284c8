package quota

import (
	"encoding/hex"
	"strconv"

	"straum.dev/straum/internal/redis"
)

// Shared counts in the store of a fleet. Its clock decides which day and month it is, so that a node whose clock is off by less than a day counts
// with the others.
type Shared struct{ client *redis.Client }

// NewShared makes one that counts in a store.
func NewShared(client *redis.Client) *Shared { return &Shared{client} }

// take is one trip: the key is a hash with the beginning and the count of each period, and goes when the last of them is over. ARGV is the
// cost and then, for each period with a limit: its name, the limit, and the four times of its Span. The answer is the number of the period
// that refused in the order of ARGV, 0 for none, and then of each what is used and in how many seconds it ends.
var take = redis.NewScript(`
local now = tonumber(redis.call('TIME')[1])
local cost = tonumber(ARGV[1])
local over, keep, out, set = 0, 0, {0}, {}
for i = 2, #ARGV, 6 do
  local name, limit = ARGV[i], tonumber(ARGV[i + 1])
  local from, to = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
  if now < from then
    from, to = tonumber(ARGV[i + 2]), from
  elseif now >= to then
    from, to = to, tonumber(ARGV[i + 5])
  end
  local kept = redis.call('HMGET', KEYS[1], name .. '_start', name)
  local start, used = tonumber(kept[1]), tonumber(kept[2])
  if not start or not used or start < from or start > to then
    start, used = from, 0
  end
  if cost > limit - used then
    over = (i + 4) / 6
  else
    set[#set + 1] = name .. '_start'
    set[#set + 1] = string.format('%.0f', start)
    set[#set + 1] = name
    set[#set + 1] = string.format('%.0f', used + cost)
  end
  keep = math.max(keep, to)
  out[#out + 1] = used
  out[#out + 1] = math.max(to - now, 1)
end
if over == 0 then
  for i = 2, #out, 2 do
    out[i] = out[i] + cost
  end
  redis.call('HSET', KEYS[1], unpack(set))
  redis.call('EXPIREAT', KEYS[1], string.format('%.0f', math.max(keep, now) + 3600))
end
out[1] = over
return out
`)

// Take is Ledger.Take in the store. An error says that the store did not answer, or refused; then nothing is known.
func (s *Shared) Take(id ID, cost int64, limits *Limits, spans *Spans) (o Outcome, err error) {
	args := append(make([]string, 0, 1+6*Periods), strconv.FormatInt(cost, 10))
	var which [periods]Period
	n := 0
	for p := range limits {
		if limits[p] == 0 {
			continue
		}
		args = append(args, Period(p).String(), strconv.FormatInt(limits[p], 10))
		for _, t := range [...]int64{spans[p].Before, spans[p].Start, spans[p].End, spans[p].After} {
			args = append(args, strconv.FormatInt(t, 10))
		}
		which[n] = Period(p)
		n++
	}
	reply, err := s.client.Run(take, []string{"quota:{" + hex.EncodeToString(id[:]) + "}"}, args)
	if err != nil {
		return o, err
	}
	list, err := reply.Ints()
	if err != nil {
		return o, err
	}
	if len(list) != 1+2*n || list[0] < 0 || list[0] > int64(n) {
		return o, redis.ErrRefused
	}
	if list[0] > 0 {
		o.Refused, o.By = true, which[list[0]-1]
	}
	for i := range n {
		o.Used[which[i]], o.Rest[which[i]] = list[1+2*i], list[2+2*i]
	}
	return o, nil
}
