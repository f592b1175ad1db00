-- Bring the counters to what can be known: pending to the truth; total, completed and failed up to what must at least be
-- true, and never down, since nothing tells what has expired. Daily hashes tell of 31 dates.
-- KEYS queue priority queues scheduled leases dead total completed failed pending
-- PREFIX data_prefix list_prefix priority_prefix daily_prefix
-- ARGV limit
-- RETURNS per counter that was changed {its name, its text before, its value now}
local bad = wrong_type(queue, 'list') or wrong_type(priority, 'zset') or wrong_type(queues, 'set')
  or wrong_type(scheduled, 'zset') or wrong_type(leases, 'zset') or wrong_type(dead, 'zset')
  or wrong_type(total, 'string') or wrong_type(completed, 'string') or wrong_type(failed, 'string')
  or wrong_type(pending, 'string')
if bad then return bad end
local lists, zsets = lanes_of(queue, priority, queues, list_prefix, priority_prefix)
local changes = {}

local function change(name, key, known, exactly)
  local text = call('GET', key)
  local number = tonumber(text)
  if not exactly then
    if number and number >= known and string.match(text, '^%d+$') then return end
    known = math.max(known, count_of(text))
  end
  local value = text_of(known)
  if text == value or not text and known == 0 then return end
  call('SET', key, value)
  changes[#changes + 1] = { name, text or '', value }
end

-- Waiting tasks: ids of which a hash says so, each once, though it may stand in several lanes. Those beyond the limit,
-- and elements whose hash is yet to come, are not known to be further tasks.
local seen, waiting, left = {}, 0, tonumber(limit)
local elsewhere = { scheduled = 1, processing = 1, completed = 1, failed = 1, cancelled = 1 }
local function look_at(ids)
  left = left - #ids
  for _, id in ipairs(ids) do
    local key = data_prefix .. id
    if not seen[id] and type_of(key) == 'hash' and not elsewhere[call('HGET', key, 'status')] then
      waiting = waiting + 1
    end
    seen[id] = true
  end
end
for _, list in ipairs(lists) do
  if left > 0 then look_at(call('LRANGE', list, 0, left - 1)) end
end
for _, zset in ipairs(zsets) do
  if left > 0 then look_at(call('ZRANGEBYSCORE', zset, '-inf', '+inf', 'LIMIT', 0, left)) end
end

local done, died, now = 0, 0, clock()
for day = 0, 30 do
  local daily = daily_prefix .. date_of(now - day * 86400000)
  if type_of(daily) == 'hash' then
    local told = call('HMGET', daily, 'tasks_completed', 'tasks_failed')
    done, died = done + count_of(told[1]), died + count_of(told[2])
  end
end
local letters = call('ZCARD', dead)
change('pending', pending, waiting_in(lists, zsets), true)
change('completed', completed, done)
change('failed', failed, math.max(died, letters))
change('total', total,
  count_of(call('GET', completed)) + waiting + call('ZCARD', scheduled) + call('ZCARD', leases) + letters)
return changes
