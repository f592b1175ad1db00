-- Put quarantined elements back where they came from, at the head of that line, if they can be tasks now.
-- KEYS leases scheduled quarantine reasons pending
-- PREFIX data_prefix list_prefix priority_prefix
-- ARGV processor
-- REST elements, the first to be claimed first; a `processor` is written where the reason was that none was usable
-- RETURNS per element "done", "gone" (not there), "helpless" (no hash to run) or "elsewhere" (only leaves: it runs, waits or has ended)
local bad = wrong_type(leases, 'zset') or wrong_type(scheduled, 'zset') or wrong_type(quarantine, 'zset')
  or wrong_type(reasons, 'hash') or wrong_type(list_prefix, 'list')
if bad then return bad end

local function leave(element)
  call('ZREM', quarantine, element)
  call('HDEL', reasons, element)
end

local function is_elsewhere(id, status)
  return call('ZSCORE', leases, id) or call('ZSCORE', scheduled, id) or status == 'completed' or status == 'failed'
    or status == 'cancelled'
end

local function repair(element)
  if not call('ZSCORE', quarantine, element) then return 'gone' end
  local known = reason_of(reasons, element)
  local key = data_prefix .. element
  if string.sub(element, 1, 1) == '{' then -- it is its own hash; over-long ones fit once the limit was raised
    if string.sub(known.reason, 1, 15) ~= 'element is over' then return 'helpless' end
    leave(element)
  elseif type_of(key) ~= 'hash' then
    return 'helpless'
  elseif is_elsewhere(element, call('HGET', key, 'status')) then
    leave(element)
    return 'elsewhere'
  else
    leave(element) -- first, since this is allowed without memory
    call('HSET', key, 'status', 'pending')
    call('PERSIST', key)
    local about = string.match(known.reason, '^%S+ %S+') or ''
    if processor ~= '' and (about == 'names no' or about == 'unknown processor' or string.sub(about, 1, 7) == 'plugin ') then
      call('HSET', key, 'processor', processor)
    end
  end
  put('RPUSH', element, known.queue, known.priority, list_prefix, priority_prefix)
  return 'done'
end

local replies, repaired = {}, 0
for i = #ARGV, REST, -1 do
  local verdict = repair(ARGV[i])
  if verdict == 'done' then repaired = repaired + 1 end
  replies[i - REST + 1] = verdict
end
if repaired > 0 then try('INCRBY', pending, repaired) end
return replies
