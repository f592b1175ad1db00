-- A worker's heartbeat: its self-description, and its place in the index of workers. Old index entries go.
-- KEYS workers worker
-- ARGV worker_id seconds
-- REST field/value texts
-- RETURNS number of workers that beat within that time
local bad = wrong_type(workers, 'zset') or wrong_type(worker, 'hash')
if bad then return bad end
local now = clock()
call('ZREMRANGEBYSCORE', workers, '-inf', now - 1000 * tonumber(seconds))
call('ZADD', workers, now, worker_id)
call('HSET', worker, 'beat_at', string.format('%.0f', now), unpack(ARGV, REST))
call('EXPIRE', worker, seconds)
return call('ZCARD', workers)
