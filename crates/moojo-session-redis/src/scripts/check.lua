-- KEYS: one that nobody else has. ARGV: a channel that nobody listens to.
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
return 1
