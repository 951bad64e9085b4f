-- KEYS: session. ARGV: session id (16 bytes), record, life in ms.
if redis.call('GETRANGE', KEYS[1], 1, 16) ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
