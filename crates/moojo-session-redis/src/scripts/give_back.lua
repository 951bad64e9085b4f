-- KEYS: quota. ARGV: now.
redis.call('ZREMRANGEBYLEX', KEYS[1], '-', '[' .. ARGV[1] .. '~')
return redis.call('ZREMRANGEBYRANK', KEYS[1], -1, -1)
