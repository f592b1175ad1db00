-- Cancel a task that waits, is scheduled, quarantined or runs; a running one is fenced off and its process told to stop.
-- KEYS leases scheduled quarantine reasons pending
-- PREFIX data_prefix list_prefix priority_prefix stop_prefix held_prefix user_channel_prefix task_channel_prefix notifications
-- ARGV id unit scan_limit
-- RETURNS "cancelled", "again" (was cancelled), "ended" or "unknown"
local bad = wrong_type(leases, 'zset') or wrong_type(scheduled, 'zset') or wrong_type(quarantine, 'zset')
  or wrong_type(reasons, 'hash')
if bad then return bad end
local key = data_prefix .. id
if type_of(key) ~= 'hash' then return 'unknown' end
local names = { 'status', 'queue', 'priority', 'worker_id', 'user_id' }
local values, f = call('HMGET', key, unpack(names)), {}
for i = 1, #names do f[names[i]] = values[i] or nil end
if f.status == 'cancelled' then return 'again' end
if f.status == 'completed' or f.status == 'failed' then return 'ended' end
local list, zset = list_prefix .. lane_suffix(f.queue), priority_prefix .. lane_suffix(f.queue)
bad = wrong_type(list, 'list') or wrong_type(zset, 'zset')
if bad then return bad end
local now, time = clock(unit)
local expire = true
if call('ZREM', leases, id) == 1 then
  if f.worker_id then
    local held, stop = held_prefix .. f.worker_id, stop_prefix .. f.worker_id
    if type_of(held) == 'hash' then call('HDEL', held, id) end
    if not wrong_type(stop, 'set') then
      call('SADD', stop, id)
      call('EXPIRE', stop, 3600)
    end
  end
elseif call('ZREM', scheduled, id) == 0 then
  if call('ZREM', quarantine, id) == 1 then call('HDEL', reasons, id) end
  local found = call('ZREM', zset, id)
  if call('LLEN', list) <= tonumber(scan_limit) then
    found = found + call('LREM', list, 0, id)
  else
    expire = false -- in a very long list it stays as a tombstone; the claim that meets it drops it and sets the expiry
  end
  if found > 0 then try('DECRBY', pending, found) end
end
call('HSET', key, 'status', 'cancelled', 'completed_at', time)
if expire then call('EXPIRE', key, TASK_SECONDS) end
notify(message_head('task_cancelled', id, f, 'cancelled') .. time .. '}', id, f.user_id, notifications, user_channel_prefix,
  task_channel_prefix)
return 'cancelled'
