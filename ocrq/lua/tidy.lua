-- Bring the counter of waiting tasks back to the truth (foreign programs forget to keep it), and forget dead letters and
-- quarantined elements that have outlived their time.
-- KEYS queue priority queues pending dead quarantine reasons
-- PREFIX data_prefix list_prefix priority_prefix
-- ARGV keep_seconds limit
-- RETURNS {tasks waiting in all queues, dead letters forgotten, quarantined elements forgotten}
local bad = wrong_type(queue, 'list') or wrong_type(priority, 'zset') or wrong_type(queues, 'set')
  or wrong_type(dead, 'zset') or wrong_type(quarantine, 'zset') or wrong_type(reasons, 'hash')
if bad then return bad end
local waiting = waiting_in(lanes_of(queue, priority, queues, list_prefix, priority_prefix))
local before = clock() - 1000 * tonumber(keep_seconds)
local letters = call('ZRANGEBYSCORE', dead, '-inf', before, 'LIMIT', 0, limit)
if #letters > 0 then call('ZREM', dead, unpack(letters)) end
local lost = call('ZRANGEBYSCORE', quarantine, '-inf', before, 'LIMIT', 0, limit)
if #lost > 0 then
  call('ZREM', quarantine, unpack(lost))
  call('HDEL', reasons, unpack(lost))
  for _, id in ipairs(lost) do -- a hash that is in no place any more goes too
    local key = data_prefix .. id
    if type_of(key) == 'hash' and call('TTL', key) < 0 then call('EXPIRE', key, TASK_SECONDS) end
  end
end
if try('GET', pending) ~= tostring(waiting) then try('SET', pending, waiting) end
return { waiting, #letters, #lost }
