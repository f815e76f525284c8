package remote

import (
	"fmt"
	"strconv"
	"time"

	"straum.dev/straum/internal/edge/cache/purge"
	"straum.dev/straum/internal/redis"
)

// The log is the rules of purges in Redis, for gateways that could not hear them, in the order they came. Of the same rule the latest is kept. When
// there are more than it has room for, the oldest go and the floor rises: whoever reads the log takes everything for purged that was asked for at the
// floor or before.
const (
	maxLog  = 2000
	logLife = MaxAge + 24*time.Hour
	logPage = 200 // rules in one answer
)

// tell enters a rule and publishes it. KEYS: order, text, floor, count. ARGV: id, time, sealed, room, oldest time of use, life in ms, channel. A text
// is the time, a colon and what is sealed; places in the order are counted, so that no two rules have the same.
var tell = redis.NewScript(`
local function at(id) return tonumber(string.match(redis.call('HGET', KEYS[2], id) or '', '^(%d+):') or '0') end
local function drop(id)
	redis.call('ZREM', KEYS[1], id)
	redis.call('HDEL', KEYS[2], id)
end
if at(ARGV[1]) <= tonumber(ARGV[2]) then
	redis.call('ZADD', KEYS[1], redis.call('INCR', KEYS[4]), ARGV[1])
	redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ':' .. ARGV[3])
end
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, 9)) do
	if at(id) < tonumber(ARGV[5]) then drop(id) end
end
local floor = tonumber(redis.call('GET', KEYS[3]) or '0') or 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[4]) - 1)) do
	if redis.call('ZCARD', KEYS[1]) > tonumber(ARGV[4]) then
		local was = at(id)
		if was > floor then
			floor = was
			redis.call('SET', KEYS[3], string.format('%.0f', was))
		end
		drop(id)
	end
end
for i = 1, 4 do redis.call('PEXPIRE', KEYS[i], ARGV[6]) end
redis.call('PUBLISH', ARGV[7], ARGV[3])
return 1
`)

var logKeys = []string{logKey, textKey, floorKey, countKey}

// micros is a time as the log has it, rounded up: a floating-point number holds it exactly.
func micros(at int64) int64 { return at/1000 + 1 }

// enter tells the fleet of a rule.
func (s *Store) enter(r *purge.Rule) error {
	reply, err := s.redis.Run(tell, logKeys, []string{
		s.names.rule(r), strconv.FormatInt(micros(r.At), 10), string(s.fleet.rule(r)), strconv.Itoa(maxLog),
		strconv.FormatInt(micros(s.now()-int64(logLife)), 10), strconv.FormatInt(logLife.Milliseconds(), 10), s.redis.Key(channel)})
	if err == nil {
		_, err = reply.Int()
	}
	return err
}

// page reads rules behind a place in the order. The first text is the floor; then come places and what is sealed by turns.
var page = redis.NewScript(`
local out = {redis.call('GET', KEYS[3]) or ''}
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for i = 1, #ids, 2 do
	out[#out + 1] = ids[i + 1]
	out[#out + 1] = string.gsub(redis.call('HGET', KEYS[2], ids[i]) or '', '^%d+:', '')
end
return out
`)

// readLog brings all rules of the log to take. A rule that is told anew meanwhile moves to the end, and is heard besides.
func (s *Store) readLog(take func(purge.Rule)) error {
	from := "0"
	for range 2 * maxLog / logPage {
		reply, err := s.redis.Run(page, logKeys, []string{from, strconv.Itoa(logPage)})
		if err != nil {
			return err
		}
		texts, err := reply.Texts()
		if err != nil {
			return err
		}
		if len(texts)%2 == 0 {
			return fmt.Errorf("%w: the script returned %d texts", redis.ErrRefused, len(texts))
		}
		if floor, err := strconv.ParseInt(texts[0], 10, 64); err == nil && from == "0" && floor > 0 && floor < micros(s.now()+int64(ahead)) {
			take(purge.Rule{Kind: purge.All, At: floor * 1000})
		}
		for i := 1; i < len(texts); i += 2 {
			from = texts[i]
			if m, ok := s.fleet.unseal([]byte(texts[i+1])); ok && m.what == aRule {
				take(m.rule)
			} else {
				s.figures.foreign.Add(1)
			}
		}
		if len(texts) < 2*logPage+1 {
			return nil
		}
	}
	return fmt.Errorf("%w: the log of purges is longer than it may be", redis.ErrRefused)
}
