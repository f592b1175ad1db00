-- A worker's farewell: it leaves the index of workers and its self-description goes.
-- KEYS workers worker
-- ARGV worker_id
-- RETURNS 1, or 0 when it was not known
local bad = wrong_type(workers, 'zset')
if bad then return bad end
call('DEL', worker)
return call('ZREM', workers, worker_id)
