-- Take the lease of one key, and leave the intent: "WeChat may be asked under this fence".
--
-- KEYS[1] record   hash     tokend:{appid/kind}:token
-- KEYS[2] lease    string   tokend:{appid/kind}:lease   its owner, with a time to live
-- KEYS[3] fence    string   tokend:{appid/kind}:fence   the greatest fence given, for ever
-- ARGV[1] owner    unique to this attempt: asking again (lost answer) gives the same lease
-- ARGV[2] ttl      milliseconds
-- ARGV[3] above    the greatest fence this node has seen; after a failover that lost the last
--                  writes, under a clock that is behind, only the nodes remember it
-- returns the fence, or "0" where somebody else holds the lease

local record, lease, last_fence = KEYS[1], KEYS[2], KEYS[3]
local owner, ttl, above = ARGV[1], ARGV[2], tonumber(ARGV[3])

local holder = redis.call('GET', lease)
if holder == owner then
  return redis.call('GET', last_fence)
end
if holder then
  return '0'
end

-- Microseconds as a number: exact below 2^53. The clock, not a counter, because a counter repeats
-- itself after a failover that lost its last write.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local last = math.max(
  tonumber(redis.call('GET', last_fence) or '0'),
  tonumber(redis.call('HGET', record, 'fence') or '0')
)
local fence = string.format('%.0f', math.max(now, last + 1, above + 1))

-- An intent that nobody settled: its holder died, and WeChat may have given it a token.
local unsettled = tonumber(redis.call('HGET', record, 'intent') or '0')
if unsettled > 0 then
  redis.call('HSET', record, 'suspect', '1', 'inherited', fence)
end

redis.call('SET', lease, owner, 'PX', ttl)
redis.call('SET', last_fence, fence)
redis.call('HSET', record, 'intent', fence)
return fence
