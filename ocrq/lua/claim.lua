-- Claim up to `count` tasks for one worker process, in the one claim order over sorted set and list.
-- A repeated call with the same nonce returns the same tasks: a lost reply claims nothing twice.
-- KEYS leases scheduled quarantine reasons pending held
-- RESTKEYS per lane: list, sorted set
-- PREFIX data_prefix
-- ARGV slot nonce count lease_ms fair_after fairness default_processor max_hash_bytes grace_ms unit
-- REST per lane: queue name
-- RETURNS {server ms, 1 when there may be more, claims until the next fair one, {id, token, hash...}..., notes}
local bad = wrong_type(leases, 'zset') or wrong_type(scheduled, 'zset') or wrong_type(quarantine, 'zset')
  or wrong_type(reasons, 'hash') or wrong_type(held, 'hash')
if bad then return bad end
local lanes = {}
for i = RESTKEYS, #KEYS, 2 do
  bad = wrong_type(KEYS[i], 'list') or wrong_type(KEYS[i + 1], 'zset')
  if bad then return bad end
  lanes[#lanes + 1] = { list = KEYS[i], zset = KEYS[i + 1], queue = ARGV[REST + #lanes] }
end
local now = now_ms()
local claimed, notes = {}, {}
count, fair_after, fairness = tonumber(count), tonumber(fair_after), tonumber(fairness)

if call('HGET', held, '') == nonce then -- the reply to this very call was lost: say it again
  local mine = call('HGETALL', held)
  for i = 1, #mine, 2 do
    local token, of = string.match(mine[i + 1], '^(%d+):(.*)$')
    if mine[i] ~= '' and of == nonce then
      claimed[#claimed + 1] = { mine[i], token, call('HGETALL', data_prefix .. mine[i]) }
    end
  end
  return { now, 1, fair_after, claimed, notes }
end

local time, deadline = stamp(now, unit), now + tonumber(lease_ms)
local looked_at, alone, taken_out = 0, false, 0
local lease_args, held_args = {}, { '', nonce }

local function reject(element, lane, score, reason, at)
  quarantine_element(quarantine, reasons, element, at or now, now, reason, lane.queue, score or '')
  notes[#notes + 1] = { element, reason }
end

-- A foreign producer's JSON element: its task_id, and a hash made or completed from its fields.
local function adopt(element)
  local ok, object = pcall(cjson.decode, element)
  if not ok or type(object) ~= 'table' then return nil, 'element is no JSON object' end
  local id = object.task_id
  if type(id) == 'number' then id = string.format('%.17g', id) end
  if type(id) ~= 'string' or id == '' then return nil, 'element has no task_id' end
  local key = data_prefix .. id
  if wrong_type(key, 'hash') then return id, nil end
  for name, value in pairs(object) do
    if name ~= 'task_id' and name ~= '' and value ~= cjson.null then
      local kind = type(value)
      if kind == 'number' then value = string.format('%.17g', value)
      elseif kind == 'boolean' then value = value and 'true' or 'false'
      elseif kind == 'table' then value = cjson.encode(value) end
      call('HSETNX', key, tostring(name), value)
    end
  end
  call('HSETNX', key, 'status', 'pending')
  return id, nil
end

-- Why the hash cannot be loaded, nil when it can. Lengths are asked for before anything big is read.
local function too_big(key)
  local encoding = call('OBJECT', 'ENCODING', key)
  if encoding == 'listpack' or encoding == 'ziplist' then return nil end
  if call('HLEN', key) > 256 then return 'hash has more than 256 fields' end
  local bytes = 0
  for _, name in ipairs(call('HKEYS', key)) do
    bytes = bytes + #name + call('HSTRLEN', key, name)
    if bytes > tonumber(max_hash_bytes) then return 'hash is over ' .. max_hash_bytes .. ' bytes' end
  end
  return nil
end

-- Takes over an element that was just removed from `lane`. True when it was claimed.
local function take(element, lane, score)
  local id, why = element, nil
  taken_out = taken_out + 1
  if string.sub(element, 1, 1) == '{' then
    id, why = adopt(element)
    if why then reject(element, lane, score, why) return false end
  end
  if #id == 0 or #id > 512 or string.find(id, '%c') then
    reject(element, lane, score, 'not usable as a task id')
    return false
  end
  local key = data_prefix .. id
  local kind = type_of(key)
  if kind == 'none' then reject(id, lane, score, 'no hash', now + tonumber(grace_ms)) return false end
  if kind ~= 'hash' then reject(id, lane, score, 'hash key holds a ' .. kind) return false end
  why = too_big(key)
  if why then reject(id, lane, score, why) return false end
  if call('ZSCORE', leases, id) then notes[#notes + 1] = { id, 'duplicate' } return false end
  local flat = call('HGETALL', key)
  local f = fields_of(flat)
  if f.status == 'completed' or f.status == 'failed' or f.status == 'cancelled' then
    if call('TTL', key) < 0 then call('EXPIRE', key, TASK_SECONDS) end -- a tombstone in the list is gone now
    notes[#notes + 1] = { id, 'duplicate' }
    return false
  end
  if f.status == 'scheduled' and call('ZSCORE', scheduled, id) then
    notes[#notes + 1] = { id, 'duplicate' }
    return false
  end
  local crashes = count_of(f.crashes)
  if crashes > 0 and #claimed > 0 then -- a suspect runs alone, or its neighbours would crash with it
    if score then call('ZADD', lane.zset, score, element) else call('RPUSH', lane.list, element) end
    taken_out = taken_out - 1
    alone = true
    return false
  end
  local processor = f.processor
  if not processor or processor == '' then
    processor = default_processor
    if processor == '' then reject(id, lane, score, 'names no processor, and this worker has no default') return false end
  end
  local token = count_of(f.deliveries) + 1
  local set = { 'status', 'processing', 'worker_id', slot, 'started_at', time,
    'attempts', count_of(f.attempts) + 1, 'deliveries', token }
  if processor ~= f.processor then set[#set + 1] = 'processor' set[#set + 1] = processor end
  if lane.queue ~= 'default' and f.queue ~= lane.queue then set[#set + 1] = 'queue' set[#set + 1] = lane.queue end
  if score and tonumber(f.priority) ~= tonumber(score) then set[#set + 1] = 'priority' set[#set + 1] = score end
  call('HSET', key, unpack(set))
  call('PERSIST', key)
  for i = 1, #set do flat[#flat + 1] = tostring(set[i]) end
  lease_args[#lease_args + 1] = deadline
  lease_args[#lease_args + 1] = id
  held_args[#held_args + 1] = id
  held_args[#held_args + 1] = token .. ':' .. nonce
  claimed[#claimed + 1] = { id, tostring(token), flat }
  fair_after = fair_after - 1
  if crashes > 0 then alone = true end
  return true
end

local function wanted()
  return #claimed < count and not alone and looked_at < 2 * count + 64
end

-- The head of the level that has waited longest, over all lanes and levels: { lane, element, score }.
local function longest_waiting()
  local best, best_age
  local function consider(lane, element, score)
    local created = call('TYPE', data_prefix .. element).ok == 'hash'
      and tonumber(call('HGET', data_prefix .. element, 'created_at')) or now
    if created > 1e11 then created = created / 1000 end
    if not best or created < best_age then best, best_age = { lane, element, score }, created end
  end
  for _, lane in ipairs(lanes) do
    local tail = call('LINDEX', lane.list, -1)
    if tail then consider(lane, tail, nil) end
    local from, levels = '-inf', 0
    while levels < 16 do
      local head = call('ZRANGEBYSCORE', lane.zset, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
      if #head == 0 then break end
      consider(lane, head[1], head[2])
      from, levels = '(' .. head[2], levels + 1
    end
  end
  return best
end

local function take_fair()
  local pick = longest_waiting()
  if not pick then return end
  looked_at = looked_at + 1
  fair_after = fairness
  if pick[3] then call('ZREM', pick[1].zset, pick[2]) else call('RPOP', pick[1].list) end
  if take(pick[2], pick[1], pick[3]) then fair_after = fairness - 1 end
end

local function fair_due() return fairness > 0 and fair_after <= 0 end

local function take_scored(lane, low, high)
  while wanted() do
    if fair_due() then take_fair() end
    if not wanted() then return end
    local top = call('ZREVRANGEBYSCORE', lane.zset, high, low, 'WITHSCORES', 'LIMIT', 0, 1)
    if #top == 0 then return end
    local ids = call('ZRANGEBYSCORE', lane.zset, top[2], top[2], 'LIMIT', 0, math.min(count - #claimed, 64))
    for _, id in ipairs(ids) do
      if not wanted() or fair_due() then break end
      looked_at = looked_at + 1
      call('ZREM', lane.zset, id)
      take(id, lane, top[2])
    end
  end
end

local function take_listed(lane)
  while wanted() do
    if fair_due() then take_fair() end
    if not wanted() then return end
    local element = call('RPOP', lane.list)
    if not element then return end
    looked_at = looked_at + 1
    take(element, lane, nil)
  end
end

for _, lane in ipairs(lanes) do
  take_scored(lane, '(5', '+inf')
  take_listed(lane)
  take_scored(lane, '-inf', '5')
end

if #claimed > 0 then
  call('ZADD', leases, unpack(lease_args))
  call('HSET', held, unpack(held_args))
  call('EXPIRE', held, HELD_SECONDS)
end
if taken_out > 0 then try('DECRBY', pending, taken_out) end
local more = (#claimed >= count or alone or looked_at >= 2 * count + 64) and 1 or 0
return { now, more, fair_after, claimed, notes }
