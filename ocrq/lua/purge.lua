-- Forget dead letters (`place` = "dead") or quarantined elements for good, each once.
-- A dead letter's hash goes with it. A quarantined task that has a hash and is nowhere else ends as cancelled, so that
-- whoever waits for it hears of it; the hash of one that was set aside for want of a hash is somebody's new task.
-- KEYS leases scheduled dead quarantine reasons
-- PREFIX data_prefix user_channel_prefix task_channel_prefix notifications
-- ARGV place unit
-- REST ids or elements
-- RETURNS per element "done", or "gone" (it is not there, or not any more)
local bad = wrong_type(leases, 'zset') or wrong_type(scheduled, 'zset') or wrong_type(dead, 'zset')
  or wrong_type(quarantine, 'zset') or wrong_type(reasons, 'hash')
if bad then return bad end
local now, time = clock(unit)

local function end_quarantined(id, reason)
  local key = data_prefix .. id
  if string.sub(reason, 1, 7) == 'no hash' or type_of(key) ~= 'hash' then return end
  if call('ZSCORE', leases, id) or call('ZSCORE', scheduled, id) then return end
  local f = { status = call('HGET', key, 'status'), user_id = call('HGET', key, 'user_id') or nil }
  if f.status == 'completed' or f.status == 'failed' or f.status == 'cancelled' then return end
  call('HSET', key, 'status', 'cancelled', 'completed_at', time)
  call('EXPIRE', key, TASK_SECONDS)
  notify(message_head('task_cancelled', id, f, 'cancelled') .. time .. '}', id, f.user_id, notifications, user_channel_prefix,
    task_channel_prefix)
end

local replies = {}
for i = REST, #ARGV do
  local element, verdict = ARGV[i], 'gone'
  if place == 'dead' then
    if call('ZREM', dead, element) == 1 then
      local key = data_prefix .. element
      if type_of(key) == 'hash' and call('HGET', key, 'status') == 'failed' then call('DEL', key) end
      verdict = 'done'
    end
  elseif call('ZREM', quarantine, element) == 1 then
    local reason = reason_of(reasons, element).reason
    call('HDEL', reasons, element)
    end_quarantined(element, reason)
    verdict = 'done'
  end
  replies[#replies + 1] = verdict
end
return replies
