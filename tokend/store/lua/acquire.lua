-- Take the lease of one key, and leave the intent: "WeChat may be asked under this fence".
--
-- KEYS[1] record      hash     tokend:{appid/kind}:token
-- KEYS[2] lease       string   tokend:{appid/kind}:lease   its owner, with a time to live
-- KEYS[3] fence       string   tokend:{appid/kind}:fence   the greatest fence given, for ever
-- KEYS[4] aside       any      tokend:{appid/kind}:unreadable   what was found in the record's place
-- ARGV[1] owner       unique to this attempt: asking again (lost answer) gives the same lease
-- ARGV[2] ttl         milliseconds
-- ARGV[3] above       the greatest fence this node has seen; after a failover that lost the last
--                     writes, under a clock that is behind, only the nodes remember it
-- ARGV[4] quarantine  milliseconds after which a call has surely been acted on
-- ARGV[5] longest     milliseconds; a lease that lasts longer, or for ever, is not tokend's
-- returns {fence, or "0" where somebody else holds the lease; what had to be swept away, or ""}

local record, lease, last_fence, aside = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local owner, ttl, above = ARGV[1], ARGV[2], tonumber(ARGV[3])
local quarantine, longest = tonumber(ARGV[4]) * 1000, tonumber(ARGV[5])

local swept = ''

local function type_of(key)
  return redis.call('TYPE', key).ok
end

-- Microseconds as a number: exact below 2^53. The clock, not a counter, because a counter repeats
-- itself after a failover that lost its last write.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- Fences that are ten years ahead are nobody's; going on from there would come to 2^53.
local function is_whole(text)
  return text and string.match(text, '^%d+$') and tonumber(text) <= now + 315360000000000
end

-- A record that no tokend wrote is kept for whoever wants to know, and counts as none.
local function is_readable()
  local type = type_of(record)
  if type ~= 'hash' then
    return type == 'none'
  end
  local must = redis.call('HEXISTS', record, 'value') == 1
  local numbers = redis.call('HMGET', record,
    'generation', 'fence', 'expires_at', 'stored_at', 'suspect', 'intent', 'inherited',
    'doubted_at')
  for i = 1, 8 do
    local missing_well = not numbers[i] and (not must or i > 5)
    if not (missing_well or is_whole(numbers[i])) then
      return false
    end
  end
  return true
end

local lease_type = type_of(lease)
if lease_type ~= 'none' then
  local holder = lease_type == 'string' and redis.call('GET', lease)
  local left = redis.call('PTTL', lease)
  local is_ours = holder and left >= 0 and left <= longest
  if is_ours and holder == owner then
    return {redis.call('GET', last_fence), swept}
  end
  if is_ours then
    return {'0', swept}
  end
  redis.call('DEL', lease)
  swept = 'lease'
end

if not is_readable() then
  redis.call('RENAME', record, aside)
  swept = 'record'
end
if type_of(last_fence) ~= 'string' or not is_whole(redis.call('GET', last_fence)) then
  redis.call('DEL', last_fence)
end

local function number(field)
  return tonumber(redis.call('HGET', record, field) or '0')
end

local last = math.max(tonumber(redis.call('GET', last_fence) or '0'), number('fence'),
  number('generation'))
local fence = string.format('%.0f', math.max(now, last + 1, above + 1))

-- An intent that nobody settled: its holder died, and WeChat may have given it a token, so the kept
-- one is suspect. While the call may still be acted on, the next one will be as well.
local intent = number('intent')
local inherited = '0'
if intent > 0 then
  redis.call('HSET', record, 'suspect', '1')
  if now - intent < quarantine then
    inherited = string.format('%.0f', intent)
  end
end

redis.call('SET', lease, owner, 'PX', ttl)
redis.call('SET', last_fence, fence)
redis.call('HSET', record, 'intent', fence, 'inherited', inherited)
return {fence, swept}
