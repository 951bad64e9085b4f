-- KEYS: quota. ARGV: now, end of this use, limit, life in ms, what tells this use apart, the latest
-- end that can be right.
-- Members are ends as digits of one length: they sort as text, and nothing is rounded.
redis.call('ZREMRANGEBYLEX', KEYS[1], '-', '[' .. ARGV[1] .. '~')
-- These were counted before the clock was set back.
redis.call('ZREMRANGEBYLEX', KEYS[1], '[' .. ARGV[6] .. '~', '+')
if redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[3]) then
    redis.call('ZADD', KEYS[1], 0, ARGV[2] .. ':' .. ARGV[5])
    if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
        redis.call('PEXPIRE', KEYS[1], ARGV[4])
    end
    return false
end
return redis.call('ZRANGE', KEYS[1], 0, 0)[1] or ARGV[2]
