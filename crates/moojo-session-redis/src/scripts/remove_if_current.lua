-- KEYS: session. ARGV: session id (16 bytes), channel, message.
if redis.call('GETRANGE', KEYS[1], 1, 16) ~= ARGV[1] then
    return 0
end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
