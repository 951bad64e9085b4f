-- KEYS: challenge. ARGV: revision expected or nothing, record, life in ms.
if redis.call('GETRANGE', KEYS[1], 0, 15) ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
