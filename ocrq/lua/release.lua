-- Give claimed tasks back untouched, at the head of their lines: the attempt is given back, the token is not.
-- KEYS leases held pending
-- PREFIX data_prefix list_prefix priority_prefix
-- REST per task, last first: id, token
-- RETURNS per task "done", "again" or "lost"
local bad = wrong_type(leases, 'zset') or wrong_type(held, 'hash') or wrong_type(list_prefix, 'list')
if bad then return bad end
local replies, released = {}, 0
for i = REST, #ARGV, 2 do
  local id, token = ARGV[i], ARGV[i + 1]
  local key, verdict = data_prefix .. id, 'lost'
  local now_is = type_of(key) == 'hash'
    and call('HMGET', key, 'deliveries', 'status', 'attempts', 'queue', 'priority') or {}
  if now_is[1] == token then
    if now_is[2] == 'processing' and call('ZREM', leases, id) == 1 then
      call('HDEL', held, id)
      call('HDEL', key, 'worker_id', 'started_at')
      call('HSET', key, 'status', 'pending', 'attempts', math.max(0, count_of(now_is[3]) - 1))
      put('RPUSH', id, now_is[4], now_is[5], list_prefix, priority_prefix)
      released, verdict = released + 1, 'done'
    elseif now_is[2] == 'pending' then
      verdict = 'again'
    end
  end
  replies[#replies + 1] = verdict
end
if released > 0 then try('INCRBY', pending, released) end
return replies
