-- Put one text in the place of another, if that is what stands there.
--
-- KEYS[1] note    string   tokend:session:… or tokend:user:…
-- ARGV[1] before  '' for none
-- ARGV[2] after   '' for none
-- ARGV[3] life    of the text in milliseconds; 0 for ever
-- returns 1, or 0 if something else stands there

local note, before, after, life = KEYS[1], ARGV[1], ARGV[2], ARGV[3]

if (redis.call('GET', note) or '') ~= before then
  return 0
end
if after == '' then
  redis.call('DEL', note)
elseif life == '0' then
  redis.call('SET', note, after)
else
  redis.call('SET', note, after, 'PX', life)
end
return 1
