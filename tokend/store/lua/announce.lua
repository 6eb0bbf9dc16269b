-- Say that a record has changed: to those who poll, and to those who listen.
--
-- KEYS[1] changes   sorted set   tokend:changes   record → microsecond of its last change; it grows
--                                with each change, also where a clock is behind after a failover
-- ARGV[1] record    "appid/kind"
-- ARGV[2] channel   nothing is said on it but that there is something to see
-- ARGV[3] speaker   whoever says it, and need not be told

local newest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local score = string.format('%.0f', math.max(now, (tonumber(newest[2]) or 0) + 1))
redis.call('ZADD', KEYS[1], score, ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return score
