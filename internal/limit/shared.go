package limit

import (
	"errors"
	"strconv"

	"straum.dev/straum/internal/redis"
)

// In the shared store a bucket is a string of two numbers: how many tokens are missing, and the store's time in microseconds when that was so. It
// vanishes a second after it would be full. The store's clock is the only one that counts there. Nodes whose terms differ for a while, as during
// a rollout, count the same tokens.

// state reads one bucket in Lua: how many tokens are missing at now. A time that lies ahead is of a server that was before this one; nothing
// comes back until its bucket is written anew, or is gone.
const state = `
local function missing(key, now, rate)
  local v = redis.call('GET', key)
  if not v then return 0 end
  local m, at = string.match(v, '^(%S+) (%S+)$')
  m, at = tonumber(m), tonumber(at)
  if not m or not at then return 0 end
  if at < now then m = m - (now - at) * rate end
  if m < 0 then return 0 end
  return m
end
local function keep(key, now, m, rate)
  redis.call('SET', key, string.format('%.17g %.0f', m, now), 'PX', math.ceil(m / rate / 1000) + 1000)
end
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
`

// exact asks all limits as one. For each it is given burst, tokens a microsecond and cost; it returns the index of the first that refused, or 0, and
// for each what is left, and in how many microseconds what was refused would be granted and all will be back.
var exact = redis.NewScript(state + `
local out, after, refused = {0}, {}, 0
for i = 1, #KEYS do
  local burst, rate, cost = tonumber(ARGV[3*i-2]), tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i])
  local m = missing(KEYS[i], now, rate)
  if m > burst then m = burst end
  local next = m + cost
  local wait = 0
  if next > burst + 1e-6 then
    refused, wait, next = i, (next - burst) / rate, m
  end
  after[i] = next
  out[3*i-1], out[3*i], out[3*i+1] = math.floor(burst - next + 1e-6), math.ceil(wait), math.ceil(next / rate)
  if refused > 0 then break end
end
out[1] = refused
if refused == 0 then
  for i = 1, #KEYS do
    if tonumber(ARGV[3*i]) > 0 then keep(KEYS[i], now, after[i], tonumber(ARGV[3*i-1])) end
  end
end
return out
`)

// draw takes tokens of one limit in a batch: at least need, at most want, and no more than half of what is there beyond need, so that other
// nodes find some. It returns how many, 0 when need is not there, what is left, and the times as exact does.
var draw = redis.NewScript(state + `
local burst, rate, need, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local m = missing(KEYS[1], now, rate)
if m > burst then m = burst end
local free = math.floor(burst - m + 1e-6)
if free < need then
  return {0, free, math.ceil((need - (burst - m)) / rate), math.ceil(m / rate)}
end
local n = math.max(need, math.min(want, need + math.floor((free - need) / 2)))
m = m + n
keep(KEYS[1], now, m, rate)
return {n, free - n, 0, math.ceil(m / rate)}
`)

// errReply says that the store answered something that this script does not return.
var errReply = errors.New("the shared store (redis) answered with something else than a limit")

// TakeShared is Table.Take for buckets in the shared store, in one trip. names are those of the buckets, one for each ask, all of one slot of a
// cluster; they tell nothing of whom they are of. The error is one of package redis: then it is not known whether anything was used.
func TakeShared(store *redis.Client, asks []Ask, names []string) (refused int, err error) {
	args := make([]string, 0, 3*len(asks))
	for i := range asks {
		a := &asks[i]
		args = append(args, integer(a.Terms.burst), a.Terms.perMicrosecond(), integer(a.cost()))
	}
	reply, err := store.Run(exact, names, args)
	if err != nil {
		return 0, err
	}
	n, err := reply.Ints()
	if err != nil {
		return 0, err
	}
	first := int64(len(asks))
	if len(n) > 0 && n[0] > 0 {
		first = n[0]
	}
	if len(n) == 0 || n[0] < 0 || first > int64(len(asks)) || int64(len(n)) != 1+3*first {
		return 0, errReply
	}
	for i := range first {
		asks[i].Verdict = Verdict{OK: i+1 != n[0], Left: max(0, n[1+3*i]), Retry: 1000 * n[2+3*i], Reset: 1000 * n[3+3*i]}
	}
	return int(n[0]) - 1, nil
}

// cost is what spend makes of Cost.
func (a *Ask) cost() int64 { return max(0, min(a.Cost, a.Terms.burst)) }

func integer(n int64) string { return strconv.FormatInt(n, 10) }

// perMicrosecond is the rate as the scripts take it.
func (t *Terms) perMicrosecond() string {
	return strconv.FormatFloat(t.count/(float64(t.per)/1e3), 'g', -1, 64)
}
