-- End one delivery that failed: back off (`retry`), give up (`dead`) or set aside (`quarantine`). Fenced like ack.
-- KEYS leases held scheduled dead quarantine reasons failed
-- PREFIX data_prefix daily_prefix user_channel_prefix task_channel_prefix notifications
-- ARGV id token verdict delay_ms error error_type entry head user_id unit failed_seconds
-- RETURNS "done", "again" or "lost"
local bad = wrong_type(leases, 'zset') or wrong_type(held, 'hash') or wrong_type(scheduled, 'zset')
  or wrong_type(dead, 'zset') or wrong_type(quarantine, 'zset') or wrong_type(reasons, 'hash')
if bad then return bad end
local key = data_prefix .. id
if type_of(key) ~= 'hash' then return 'lost' end
local now_is = call('HMGET', key, 'deliveries', 'status', 'history', 'queue', 'priority', 'attempts')
if now_is[1] ~= token then return 'lost' end
if now_is[2] ~= 'processing' or call('ZREM', leases, id) == 0 then
  local told = now_is[2] == 'scheduled' or now_is[2] == 'failed'
    or verdict == 'quarantine' and now_is[2] == 'pending' and call('ZSCORE', quarantine, id)
  return told and 'again' or 'lost'
end
local now, time = clock(unit)
call('HDEL', held, id)
if verdict == 'quarantine' then
  call('HSET', key, 'status', 'pending', 'attempts', math.max(0, count_of(now_is[6]) - 1), 'error', error)
  quarantine_element(quarantine, reasons, id, now, now, error, now_is[4] or 'default', now_is[5] or '')
  return 'done'
end
call('HSET', key, 'error', error, 'error_type', error_type, 'history',
  with_history(now_is[3], entry .. time .. '}'))
if verdict == 'retry' then
  call('HSET', key, 'status', 'scheduled')
  call('ZADD', scheduled, now + tonumber(delay_ms), id)
else
  call('HSET', key, 'status', 'failed', 'completed_at', time)
  call('ZADD', dead, now, id)
  call('EXPIRE', key, failed_seconds)
  tally(failed, daily_prefix, now, 'tasks_failed', 1)
end
notify(head .. time .. '}', id, user_id, notifications, user_channel_prefix, task_channel_prefix)
return 'done'
