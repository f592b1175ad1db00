-- Take tasks back from workers that are gone. With a slot: that process died, and of what it held only `running` is
-- to blame, the rest goes back untouched. Without: every lease that has run out, but by no later a time than `latest` (ms,
-- "": whatever it is now; the server's clock may have been set forward), and each counts as a crash. A crash
-- with `alone` = "1" (the process died, its worker lived) is the task's own doing; when the whole worker or host went,
-- it may be anybody's, so many more of those are borne before the task is given up. With `keep` = "1" the process lives
-- and `running` is all that it knows of: the rest was settled on a server that has forgotten it, and goes back untouched.
-- KEYS leases dead quarantine reasons failed pending
-- PREFIX data_prefix held_prefix list_prefix priority_prefix daily_prefix user_channel_prefix task_channel_prefix notifications
-- ARGV slot reason latest limit alone keep max_crashes max_deaths unit failed_seconds
-- REST ids that the slot was running, or with `keep` has
-- RETURNS {1 when there is more, {id, "waiting", "dead", "released", "ended" or "quarantined", crashes, queue, processor, reason}...,
-- ms until the next lease runs out or -1, server ms}
local now, time = clock(unit)
local judged = math.min(now, tonumber(latest) or now)
local function next_ms()
  local first = call('ZRANGE', leases, 0, 0, 'WITHSCORES')
  return #first > 0 and math.max(0, tonumber(first[2]) - judged) or -1
end
if slot == '' then -- mostly there is nothing to do
  local late = try('ZCOUNT', leases, '-inf', judged)
  if late == 0 then return { 0, {}, next_ms(), now } end
end
local bad = wrong_type(leases, 'zset') or wrong_type(dead, 'zset') or wrong_type(quarantine, 'zset')
  or wrong_type(reasons, 'hash') or wrong_type(list_prefix, 'list')
if bad then return bad end
local out, waiting, died = {}, 0, 0

local function crashed(id, key, f)
  local crashes, deaths = count_of(f.crashes) + 1, count_of(f.worker_deaths) + (alone == '1' and 0 or 1)
  local entry = cjson.encode({ attempt = count_of(f.attempts), delivery = count_of(f.deliveries), worker = f.worker_id or '',
    outcome = 'crashed', error = reason })
  local is_over = crashes - deaths >= tonumber(max_crashes) or deaths >= tonumber(max_deaths)
  local error = is_over and 'crashed ' .. crashes .. ' times, last: ' .. reason or reason
  call('HSET', key, 'status', is_over and 'failed' or 'pending', 'crashes', digits(crashes), 'error', error, 'error_type',
    'Crash', 'history', with_history(f.history, string.sub(entry, 1, -2) .. ',"at":' .. time .. '}'),
    unpack(deaths > 0 and { 'worker_deaths', digits(deaths) } or {}))
  local verdict = 'waiting'
  if is_over then
    call('HSET', key, 'completed_at', time)
    call('ZADD', dead, now, id)
    call('EXPIRE', key, failed_seconds)
    notify(message_head('task_failed', id, f, 'failed', error, 'Crash') .. time .. '}', id, f.user_id, notifications,
      user_channel_prefix, task_channel_prefix)
    died, verdict = died + 1, 'dead'
  else
    put('RPUSH', id, f.queue, f.priority, list_prefix, priority_prefix)
    waiting = waiting + 1
  end
  out[#out + 1] = { id, verdict, crashes, f.queue or 'default', f.processor or '', reason }
end

local function released(id, key, f)
  call('HSET', key, 'status', 'pending', 'attempts', math.max(0, count_of(f.attempts) - 1))
  put('RPUSH', id, f.queue, f.priority, list_prefix, priority_prefix)
  waiting = waiting + 1
  out[#out + 1] = { id, 'released', count_of(f.crashes), f.queue or 'default', f.processor or '', reason }
end

-- `token` is nil when the lease itself is the proof.
local function take_back(id, token, blame)
  call('ZREM', leases, id)
  local key = data_prefix .. id
  local kind = type_of(key)
  if kind ~= 'hash' then
    quarantine_element(quarantine, reasons, id, now, now,
      kind == 'none' and 'no hash: it was evicted or deleted while the task ran' or 'hash key holds a ' .. kind, 'default', '')
    out[#out + 1] = { id, 'quarantined', 0, 'default', '', reason }
    return
  end
  local names = { 'status', 'deliveries', 'attempts', 'crashes', 'queue', 'priority', 'processor', 'worker_id', 'user_id',
    'history', 'worker_deaths' }
  local values, f = call('HMGET', key, unpack(names)), {}
  for i = 1, #names do f[names[i]] = values[i] or nil end
  if f.worker_id then
    local held = held_prefix .. f.worker_id
    if type_of(held) == 'hash' then call('HDEL', held, id) end
  end
  if f.status == 'completed' or f.status == 'failed' or f.status == 'cancelled' then -- a foreign program ended it
    if call('TTL', key) < 0 then call('EXPIRE', key, TASK_SECONDS) end
    out[#out + 1] = { id, 'ended', count_of(f.crashes), f.queue or 'default', f.processor or '', reason }
    return
  end
  if blame then crashed(id, key, f) else released(id, key, f) end
end

local more = 0
if slot ~= '' then
  local held, running = held_prefix .. slot, {}
  for i = REST, #ARGV do running[ARGV[i]] = true end
  if type_of(held) == 'hash' then
    local mine = holdings(held)
    for i = #mine, 1, -1 do -- from the last claimed, so that the first ends up at the head
      local id, token = mine[i].id, mine[i].token
      local key = data_prefix .. id
      if call('ZSCORE', leases, id) and not (keep == '1' and running[id]) then
        local kind = type_of(key)
        if kind ~= 'hash' or call('HGET', key, 'deliveries') == token then
          take_back(id, token, running[id] or running['*'])
        end
        call('HDEL', held, id)
      end
    end
    if keep ~= '1' then call('DEL', held) end
  end
else
  local late = call('ZRANGEBYSCORE', leases, '-inf', judged, 'LIMIT', 0, limit)
  for i = #late, 1, -1 do take_back(late[i], nil, true) end
  if #late >= tonumber(limit) then more = 1 end
end
if waiting > 0 then try('INCRBY', pending, waiting) end
if died > 0 then tally(failed, daily_prefix, now, 'tasks_failed', died) end
return { more, out, next_ms(), now }
