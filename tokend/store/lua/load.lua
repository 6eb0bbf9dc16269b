-- Read one key's record, with its remaining life by the server's own clock.
--
-- KEYS[1] record   hash   tokend:{appid/kind}:token
-- returns nothing kept: {}
--         kept: {value, generation, fence, remaining life in ms, "1" if suspect else "0"}
--         something that no tokend wrote: {"unreadable"}

local type = redis.call('TYPE', KEYS[1]).ok
if type == 'none' then
  return {}
end
if type ~= 'hash' then
  return {'unreadable'}
end

local kept = redis.call('HMGET', KEYS[1], 'value', 'generation', 'fence', 'expires_at', 'suspect')
if not kept[1] then
  return {} -- only an intent so far
end
for i = 2, 5 do
  if not kept[i] or not tonumber(kept[i]) then
    return {'unreadable'}
  end
end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
return {kept[1], kept[2], kept[3], string.format('%.0f', kept[4] - now_ms), kept[5]}
