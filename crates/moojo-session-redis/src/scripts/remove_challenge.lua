-- KEYS: challenge. ARGV: revision expected.
if redis.call('GETRANGE', KEYS[1], 0, 15) ~= ARGV[1] then
    return 0
end
return redis.call('DEL', KEYS[1])
