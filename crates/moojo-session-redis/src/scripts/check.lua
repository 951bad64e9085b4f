-- KEYS: one that nobody else has. ARGV: a channel that nobody listens to; 1 to see what may be evicted.
-- All that the other scripts do, and nothing of it stays; for a minute, if a right is missing.
redis.call('SET', KEYS[1], '', 'PX', 60000)
redis.call('GET', KEYS[1])
redis.call('GETRANGE', KEYS[1], 0, 0)
redis.call('PTTL', KEYS[1])
redis.call('PEXPIRE', KEYS[1], 60000)
redis.call('DEL', KEYS[1])
redis.call('ZADD', KEYS[1], 0, 'a')
-- At once: who has not the right to what follows never comes to the end.
redis.call('PEXPIRE', KEYS[1], 60000)
redis.call('ZCARD', KEYS[1])
redis.call('ZRANGE', KEYS[1], 0, 0)
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1)
redis.call('ZREMRANGEBYLEX', KEYS[1], '-', '+')
redis.call('PUBLISH', ARGV[1], '')
if ARGV[2] ~= '1' then
  return 1
end
-- It need not be allowed: then 0 says that it is not known.
local info = redis.pcall('INFO', 'memory')
if type(info) ~= 'string' then
  return 0
end
-- The policy, where there is a limit for it to keep.
local limit = string.match(info, '\nmaxmemory:(%d+)')
local policy = string.match(info, '\nmaxmemory_policy:([%w-]+)')
return limit and limit ~= '0' and policy or 1
