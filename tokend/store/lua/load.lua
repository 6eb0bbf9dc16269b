-- Read the records of keys, with their remaining lives by the server's own clock.
--
-- KEYS[1], KEYS[3], …   records   hash     tokend:{appid/kind}:token
-- KEYS[2], KEYS[4], …   leases    string   tokend:{appid/kind}:lease
-- returns for each
--         nothing kept: {}
--         kept: {value as it is written, its digest or "", generation, fence,
--                remaining life in ms, "1" if suspect else "0", the owner of the lease if somebody
--                is refreshing it else ""}
--         something that no tokend wrote: {"unreadable"}

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
-- Fences are microseconds of a clock. One that is ten years ahead is nobody's.
local largest = (now_ms + 315360000000) * 1000

-- A lease that no tokend took is somebody's all the same, until it is swept away.
local function owner_of(lease)
  local owner = redis.call('TYPE', lease).ok == 'string' and redis.call('GET', lease) or '?'
  return #owner <= 300 and string.match(owner, '^[%w%-%._/]+$') or '?'
end

local function load(record, lease)
  local type = redis.call('TYPE', record).ok
  if type == 'none' then
    return {}
  end
  if type ~= 'hash' then
    return {'unreadable'}
  end

  local kept = redis.call('HMGET', record, 'value', 'generation', 'fence', 'expires_at', 'suspect',
    'stored_at', 'intent', 'digest')
  if not kept[1] then
    return {} -- only an intent so far
  end
  for i = 2, 6 do
    if not kept[i] or not string.match(kept[i], '^%d+$') or tonumber(kept[i]) > largest then
      return {'unreadable'}
    end
  end
  -- Nobody is sent what tokend cannot have written.
  local digest = kept[8] or ''
  if #kept[1] > 8192 or #digest > 64 then
    return {'unreadable'}
  end

  -- An intent that nobody settled: its holder is at it, or has died, and then the value is suspect.
  local unsettled = (tonumber(kept[7] or '0') or 0) > 0
  local leased = redis.call('EXISTS', lease) == 1
  local suspect = (kept[5] == '1' or (unsettled and not leased)) and '1' or '0'
  local refreshing = (unsettled and leased) and owner_of(lease) or ''
  -- Never more life than when it was stored, wherever the clock went since; nor more than a day,
  -- which nothing has that is kept here.
  local remaining = math.min(kept[4] - now_ms, kept[4] - kept[6] / 1000, 86400000)
  return {kept[1], digest, kept[2], kept[3], string.format('%.0f', remaining), suspect, refreshing}
end

local found = {}
for i = 1, #KEYS, 2 do
  found[#found + 1] = load(KEYS[i], KEYS[i + 1])
end
return found
