-- KEYS: session. ARGV: channel, message.
if redis.call('DEL', KEYS[1]) == 0 then
    return 0
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1
