-- Count a costly call, if there is room for it: the rules of allowance.py.
--
-- KEYS[1] budget   string   tokend:{appid/kind}:budget   when calls were made: "µs,µs,…"
-- ARGV[1] pause    microseconds between two calls
-- ARGV[2] daily    how many in 24 hours
-- returns microseconds to wait; "0": granted, and counted

local budget = KEYS[1]
local pause, daily = tonumber(ARGV[1]), tonumber(ARGV[2])
local day = 86400 * 1000000

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local recent = {}
local is_text = redis.call('TYPE', budget).ok == 'string'
for digits in string.gmatch(is_text and redis.call('GET', budget) or '', '%d+') do
  local at = math.min(tonumber(digits), now) -- the clock may have been set back
  if now - at < day then
    recent[#recent + 1] = at
  end
end

local wait = 0
if #recent > 0 then
  wait = recent[#recent] + pause - now
end
if #recent >= daily then
  wait = math.max(wait, recent[#recent - daily + 1] + day - now)
end
if wait <= 0 then
  recent[#recent + 1] = now
end

local texts = {}
for i, at in ipairs(recent) do
  texts[i] = string.format('%.0f', at)
end
redis.call('SET', budget, table.concat(texts, ','), 'PX', day / 1000)
return string.format('%.0f', math.max(wait, 0))
