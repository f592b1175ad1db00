-- Record and announce the progress of running tasks; a token that is not the newest is refused.
-- KEYS leases
-- PREFIX data_prefix user_channel_prefix task_channel_prefix notifications
-- ARGV unit
-- REST per task: id, token, fraction, message text, message JSON up to its timestamp, user id
-- RETURNS per task "done" or "lost"
local bad = wrong_type(leases, 'zset')
if bad then return bad end
call('ZREM', leases, '') -- see extend
local _, time = clock(unit)
local replies = {}
for i = REST, #ARGV, 6 do
  local id = ARGV[i]
  local key, verdict = data_prefix .. id, 'lost'
  local now_is = type_of(key) == 'hash' and call('HMGET', key, 'deliveries', 'status') or {}
  if now_is[1] == ARGV[i + 1] and now_is[2] == 'processing' then
    call('HSET', key, 'progress', ARGV[i + 2], 'progress_message', ARGV[i + 3])
    notify(ARGV[i + 4] .. time .. '}', id, ARGV[i + 5], notifications, user_channel_prefix, task_channel_prefix)
    verdict = 'done'
  end
  replies[#replies + 1] = verdict
end
return replies
