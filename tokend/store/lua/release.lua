-- Give a lease back, or hold it so that nobody asks WeChat for a while.
--
-- KEYS[1] record  hash     tokend:{appid/kind}:token
-- KEYS[2] lease   string   tokend:{appid/kind}:lease
-- ARGV[1] owner
-- ARGV[2] fence
-- ARGV[3] hold    milliseconds; 0: the outcome is known, the intent is settled, which leaves the one
--                 that was inherited
-- returns "1" if the lease was this owner's else "0"

local record, lease = KEYS[1], KEYS[2]
local owner, fence, hold = ARGV[1], ARGV[2], tonumber(ARGV[3])

local mine = redis.call('GET', lease) == owner

if hold > 0 then
  if mine then
    redis.call('PEXPIRE', lease, hold)
  end
  return mine and '1' or '0'
end

if redis.call('HGET', record, 'intent') == fence then
  local inherited = redis.call('HGET', record, 'inherited') or '0'
  redis.call('HSET', record, 'intent', inherited, 'inherited', '0')
end
if mine then
  redis.call('DEL', lease)
end
return mine and '1' or '0'
