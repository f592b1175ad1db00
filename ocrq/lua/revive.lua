-- Put a failed or cancelled task back into its queue as if it were new: attempts and crashes start over, tokens do not.
-- KEYS leases dead pending
-- PREFIX data_prefix list_prefix priority_prefix
-- ARGV id
-- RETURNS "done", "running" or "unknown"
local bad = wrong_type(leases, 'zset') or wrong_type(dead, 'zset')
if bad then return bad end
local key = data_prefix .. id
if type_of(key) ~= 'hash' then return 'unknown' end
local f = call('HMGET', key, 'status', 'queue', 'priority')
if f[1] ~= 'failed' and f[1] ~= 'cancelled' then return 'running' end
call('ZREM', dead, id)
call('HDEL', key, 'completed_at', 'worker_id', 'started_at', 'progress', 'progress_message')
call('PERSIST', key)
call('HSET', key, 'status', 'pending', 'attempts', '0', 'crashes', '0', 'worker_deaths', '0')
put_back(id, f[2], f[3], list_prefix, priority_prefix)
try('INCRBY', pending, 1)
return 'done'
