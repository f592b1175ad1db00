-- Put failed, cancelled, quarantined or stranded tasks back into their queues as if they were new: attempts and crashes
-- start over, tokens do not.
-- KEYS leases scheduled dead quarantine reasons pending
-- PREFIX data_prefix list_prefix priority_prefix
-- ARGV scan_limit
-- REST ids, the first to be claimed first
-- RETURNS per id "done", "running" (nothing to revive: it waits, runs or is completed) or "unknown"
local bad = wrong_type(leases, 'zset') or wrong_type(scheduled, 'zset') or wrong_type(dead, 'zset')
  or wrong_type(quarantine, 'zset') or wrong_type(reasons, 'hash') or wrong_type(list_prefix, 'list')
if bad then return bad end

local function revive(id)
  local key = data_prefix .. id
  if type_of(key) ~= 'hash' then return 'unknown' end
  local f = call('HMGET', key, 'status', 'queue', 'priority')
  local ended = f[1] == 'failed' or f[1] == 'cancelled'
  local set_aside = call('ZSCORE', quarantine, id)
  if call('ZSCORE', leases, id) or f[1] == 'completed' or not (ended or set_aside
    or is_stranded(id, f[1], f[2], leases, scheduled, quarantine, list_prefix, priority_prefix, scan_limit)) then
    return 'running'
  end
  local queue, priority = f[2], f[3]
  if set_aside and not ended then -- the hash of a foreign producer may not say where it came from
    local known = reason_of(reasons, id)
    queue, priority = known.queue or queue, known.priority or priority
  end
  call('ZREM', dead, id)
  if call('ZREM', quarantine, id) == 1 then call('HDEL', reasons, id) end
  call('HDEL', key, 'completed_at', 'worker_id', 'started_at', 'progress', 'progress_message')
  call('PERSIST', key)
  call('HSET', key, 'status', 'pending', 'attempts', '0', 'crashes', '0', 'worker_deaths', '0')
  put('RPUSH', id, queue, priority, list_prefix, priority_prefix)
  return 'done'
end

local replies, revived = {}, 0
for i = #ARGV, REST, -1 do
  local verdict = revive(ARGV[i])
  if verdict == 'done' then revived = revived + 1 end
  replies[i - REST + 1] = verdict
end
if revived > 0 then try('INCRBY', pending, revived) end
return replies
