-- KEYS: lease. ARGV: entry, time in ms.
local entry = redis.call('GET', KEYS[1])
if entry and entry ~= ARGV[1] then
    return {entry, redis.call('PTTL', KEYS[1])}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
