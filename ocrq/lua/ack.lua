-- Complete tasks, each with its whole documented lifecycle in this one step; a token that is not the newest is refused.
-- A repeated call changes nothing and says "again".
-- KEYS leases held completed
-- PREFIX data_prefix result_prefix daily_prefix user_channel_prefix task_channel_prefix notifications
-- ARGV unit result_seconds packed
-- `packed` is a MessagePack array, per task: id, token, duration ms, result JSON ("" for none), its bytes as text, message
-- up to its timestamp, user id, whether its hash has an error, n, n texts
-- RETURNS per task "done", "again" or "lost"
local allowed = try('ZREM', leases, '') -- a write that is allowed when memory is out, so that those behind it are
local known = try('HLEN', held)
local bad = (type(allowed) == 'table' or type(known) == 'table')
  and (wrong_type(leases, 'zset') or wrong_type(held, 'hash') or type(allowed) == 'table' and allowed or known)
if bad then return bad end
local now, time = clock(unit)
local values, replies, duration = cmsgpack.unpack(packed), {}, 0
local ids, users, heads = {}, {}, {} -- of those that are completed now
-- Times instead of lifetimes: those the server would have to turn into times, each for itself.
local kept_until = string.format('%.0f', now + 1000 * TASK_SECONDS)
local cached_until = string.format('%.0f', now + 1000 * result_seconds)
local MANY = 4 -- messages take longer to make than it takes to see whether anybody hears them
local i = 1
while values[i] do
  local id, token, took, result, size, head, user_id, had_error, n = unpack(values, i, i + 8)
  local first = i + 9
  i = first + n
  local key, verdict = data_prefix .. id, 'lost'
  local now_is = try('HMGET', key, 'deliveries', 'status') -- of another type: an error, and no array
  local is_ours = tonumber(now_is[1]) == token
  if is_ours and now_is[2] == 'completed' then
    verdict = 'again'
    call('HDEL', held, id) -- a server that went back in time gave one token to two, and the other was first
  elseif is_ours and now_is[2] == 'processing' then
    local at = #ids + 1
    ids[at], users[at], heads[at] = id, user_id, head
    if had_error then call('HDEL', key, 'error', 'error_type') end
    call('HSET', key, 'status', 'completed', 'completed_at', time, 'result_bytes', size, unpack(values, first, i - 1))
    call('PEXPIREAT', key, kept_until)
    if result ~= '' then call('SET', result_prefix .. id, result, 'PXAT', cached_until) end
    duration, verdict = duration + took, 'done'
  end
  replies[#replies + 1] = verdict
end
if #ids > 0 then
  call('ZREM', leases, unpack(ids))
  call('HDEL', held, unpack(ids))
  tally(completed, daily_prefix, now, 'tasks_completed', #ids, duration)
  if #ids < MANY or is_heard() then
    for i = 1, #ids do
      notify(heads[i], time, ids[i], users[i], notifications, user_channel_prefix, task_channel_prefix)
    end
  end
end
return replies
