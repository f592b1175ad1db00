-- Put a failed, cancelled or quarantined task back into its queue as if it were new: attempts and crashes start over,
-- tokens do not.
-- KEYS leases dead quarantine reasons pending
-- PREFIX data_prefix list_prefix priority_prefix
-- ARGV id
-- RETURNS "done", "running" (nothing to revive: it waits, runs or is completed) or "unknown"
local bad = wrong_type(leases, 'zset') or wrong_type(dead, 'zset') or wrong_type(quarantine, 'zset')
  or wrong_type(reasons, 'hash') or wrong_type(list_prefix, 'list')
if bad then return bad end
local key = data_prefix .. id
if type_of(key) ~= 'hash' then return 'unknown' end
local f = call('HMGET', key, 'status', 'queue', 'priority')
local ended = f[1] == 'failed' or f[1] == 'cancelled'
if call('ZSCORE', leases, id) or not (ended or call('ZSCORE', quarantine, id)) then return 'running' end
call('ZREM', dead, id)
if call('ZREM', quarantine, id) == 1 then call('HDEL', reasons, id) end
call('HDEL', key, 'completed_at', 'worker_id', 'started_at', 'progress', 'progress_message')
call('PERSIST', key)
call('HSET', key, 'status', 'pending', 'attempts', '0', 'crashes', '0', 'worker_deaths', '0')
put('RPUSH', id, f[2], f[3], list_prefix, priority_prefix)
try('INCRBY', pending, 1)
return 'done'
