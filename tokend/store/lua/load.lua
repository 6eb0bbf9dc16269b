-- Read one key's record, with its remaining life by the server's own clock.
--
-- KEYS[1] record   hash   tokend:{appid/kind}:token
-- returns nothing kept: {}
--         kept: {value, generation, remaining life in ms, "1" if suspect else "0"}

local kept = redis.call('HMGET', KEYS[1], 'value', 'generation', 'expires_at', 'suspect')
if not kept[1] then
  return {}
end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
return {kept[1], kept[2], string.format('%.0f', kept[3] - now_ms), kept[4]}
