-- Keep a token under a fence, unless a greater fence has stored.
--
-- KEYS[1] record     hash     tokend:{appid/kind}:token
-- KEYS[2] lease      string   tokend:{appid/kind}:lease
-- ARGV[1] owner
-- ARGV[2] fence
-- ARGV[3] generation  that fence, or an older one where a lost value is restored
-- ARGV[4] value       as it is to be written
-- ARGV[5] digest      of the value: what is written may differ where the value is the same
-- ARGV[6] remaining   life of the value in milliseconds
-- ARGV[7] suspect     "1" if it was so before it is restored
-- ARGV[8] name, ARGV[9] text, …   the mirror: what to write for others under names of their own
-- returns {"1" if this fence's value is kept else "0", generation, "1" if suspect else "0",
--          and where it has just been kept for each name of the mirror what kept it from being
--          written there, or ""}

local record, lease = KEYS[1], KEYS[2]
local owner, fence, generation = ARGV[1], ARGV[2], ARGV[3]
local value, digest, remaining, was_suspect = ARGV[4], ARGV[5], ARGV[6], ARGV[7] == '1'

local function number(field)
  return tonumber(redis.call('HGET', record, field) or '0')
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local my_fence = tonumber(fence)
local kept_fence = number('fence')
local same = redis.call('HGET', record, 'digest') == digest
local mine_is_last_intent = number('intent') == my_fence

local function settle_intent()
  if mine_is_last_intent then
    redis.call('HSET', record, 'intent', '0', 'inherited', '0')
  end
end

local function answer(kept)
  return {kept, redis.call('HGET', record, 'generation'), redis.call('HGET', record, 'suspect')}
end

if my_fence == kept_fence and same then
  return answer('1') -- the answer to this very save was lost
end

if my_fence <= kept_fence then
  -- Overtaken. But WeChat may have served us after the winner: then the winner's value is dead, and
  -- so may be the one that somebody is about to store who holds the lease by now.
  if not same then
    redis.call('HSET', record, 'suspect', '1', 'doubted_at', string.format('%.0f', now))
  end
  settle_intent()
  return answer('0')
end

-- Did anybody else ask WeChat since this lease was given? Then one of the two values superseded
-- the other, and nobody here knows which.
local doubtful = math.max(number('stored_at'), number('doubted_at')) > my_fence
  or not mine_is_last_intent
  or redis.call('GET', lease) ~= owner
  or number('inherited') > 0
local suspect = (was_suspect or (not same and doubtful)) and '1' or '0'

if not same then
  local grown = math.max(tonumber(generation), number('generation') + 1)
  redis.call('HSET', record, 'generation', string.format('%.0f', grown))
end
redis.call('HSET', record,
  'value', value,
  'digest', digest,
  'fence', fence,
  'expires_at', string.format('%.0f', math.floor(now / 1000) + remaining),
  'stored_at', string.format('%.0f', now),
  'suspect', suspect)
settle_intent()

-- In the same step, so that no older token overwrites a newer one; after the record, and by pcall,
-- so that nothing that is wrong with it loses the token. The names are no KEYS for the same reason:
-- Redis refuses a script as a whole if one of its KEYS may not be used.
local outcome = answer('1')
if tonumber(remaining) > 0 then
  for i = 8, #ARGV, 2 do
    local written = redis.pcall('SET', ARGV[i], ARGV[i + 1], 'PX', remaining)
    outcome[#outcome + 1] = written.err or ''
  end
end
return outcome
