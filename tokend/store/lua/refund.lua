-- Take back the last costly call: it never got to WeChat.
--
-- KEYS[1] budget   string   tokend:{appid/kind}:budget   when calls were made: "µs,µs,…"
-- returns "1"

local budget = KEYS[1]
if redis.call('TYPE', budget).ok == 'string' then
  local left = string.match(redis.call('GET', budget), '^(.*),%d+$') or ''
  redis.call('SET', budget, left, 'PX', 86400000)
end
return '1'
