-- Say that a record has changed: to those who poll, and to those who listen.
--
-- KEYS[1] changes   sorted set   tokend:changes   record → microsecond of its last change
-- ARGV[1] record    "appid/kind"
-- ARGV[2] channel   nothing is said on it but that there is something to see

local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000000 + time[2])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PUBLISH', ARGV[2], '')
return now
