-- Move due tasks from the schedule into their queues, and give quarantined ids whose hash has come another chance.
-- Tasks of processors that are no longer paused count as due.
-- A keeper asks it with its doorbell armed, and Redis 7.0 rings for each declared key: so `pending` is none.
-- KEYS scheduled quarantine reasons paused
-- PREFIX data_prefix list_prefix priority_prefix pending
-- ARGV limit repair_ms
-- RETURNS {promoted, repaired, ms until the next one is due or -1}
local planned, aside = try('ZCARD', scheduled), try('ZCARD', quarantine) -- numbers, or errors
if planned == 0 and aside == 0 then return { 0, 0, -1 } end -- mostly
local bad = wrong_type(scheduled, 'zset') or wrong_type(quarantine, 'zset') or wrong_type(reasons, 'hash')
  or wrong_type(paused, 'set') or wrong_type(list_prefix, 'list')
if bad then return bad end
local now = clock()
local promoted, repaired = 0, 0

local function promote(id)
  local key = data_prefix .. id
  call('ZREM', scheduled, id)
  local kind = type_of(key)
  if kind ~= 'hash' then
    quarantine_element(quarantine, reasons, id, now, now,
      kind == 'none' and 'no hash: it was evicted or deleted while the task was scheduled' or 'hash key holds a ' .. kind,
      'default', '')
  else
    local f = call('HMGET', key, 'queue', 'priority')
    call('HSET', key, 'status', 'pending')
    put('LPUSH', id, f[1], f[2], list_prefix, priority_prefix) -- at the tail: a due task is a new arrival there
    promoted = promoted + 1
  end
end

for _, id in ipairs(call('ZRANGEBYSCORE', scheduled, '-inf', now, 'LIMIT', 0, limit)) do promote(id) end

-- What is parked is looked at in windows, each in its turn as long as something is paused, the oldest first otherwise.
local parked = call('ZCOUNT', scheduled, PARKED_FROM, '+inf')
local resumed = 0
if parked > 0 then
  local halted, offset = {}, 0
  for _, name in ipairs(call('SMEMBERS', paused)) do halted[name], offset = true, limit * math.floor(now / 50) % parked end
  for _, id in ipairs(call('ZRANGEBYSCORE', scheduled, PARKED_FROM, '+inf', 'LIMIT', offset, limit)) do
    local key = data_prefix .. id
    local processor = type_of(key) == 'hash' and call('HGET', key, 'processor') or ''
    if not halted['processor:' .. processor] then
      promote(id)
      resumed = resumed + 1
    end
  end
  parked = parked - resumed
end

for _, id in ipairs(call('ZREVRANGEBYSCORE', quarantine, '+inf', now - tonumber(repair_ms), 'LIMIT', 0, limit)) do
  local why = call('HGET', reasons, id)
  if why and type_of(data_prefix .. id) == 'hash' then
    local ok, known = pcall(cjson.decode, why)
    if ok and type(known) == 'table' and known.reason == 'no hash' then
      call('ZREM', quarantine, id)
      call('HDEL', reasons, id)
      put('LPUSH', id, known.queue, known.priority, list_prefix, priority_prefix)
      repaired = repaired + 1
    end
  end
end

if promoted + repaired > 0 then try('INCRBY', pending, promoted + repaired) end
local wait = -1
local next_due = call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')
if #next_due > 0 then wait = math.max(0, tonumber(next_due[2]) - now) end
if call('ZCOUNT', quarantine, '(' .. string.format('%.0f', now), '+inf') > 0 and (wait < 0 or wait > 50) then
  wait = 50 -- an id in its grace waits for its hash
end
if resumed > 0 and parked > 0 then wait = 0 end
return { promoted, repaired, wait }
