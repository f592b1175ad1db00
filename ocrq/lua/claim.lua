-- Claim up to `count` tasks for one worker process, in the one claim order over sorted set and list.
-- A repeated call with the same nonce returns the same tasks: a lost reply claims nothing twice.
-- KEYS leases scheduled quarantine reasons paused pending held
-- RESTKEYS per lane: list, sorted set
-- PREFIX data_prefix
-- ARGV slot nonce count lease_ms fair_after fairness default_processor max_hash_bytes grace_ms unit
-- REST per lane: queue name
-- RETURNS {server ms, 1 when there may be more, claims until the next fair one, {id, token, hash...}..., notes}
local bad = wrong_type(leases, 'zset') or wrong_type(scheduled, 'zset') or wrong_type(quarantine, 'zset')
  or wrong_type(reasons, 'hash') or wrong_type(held, 'hash')
local halted = try('SMEMBERS', paused) -- read in each call, so that the doorbell rings on a resume
if halted.err then bad = wrong_type(paused, 'set') end
if bad then return bad end
for i = 1, #halted do halted[halted[i]] = true end
local lanes = {}
for i = RESTKEYS, #KEYS, 2 do
  bad = wrong_type(KEYS[i], 'list') or wrong_type(KEYS[i + 1], 'zset')
  if bad then return bad end
  local queue = ARGV[REST + (i - RESTKEYS) / 2]
  if not halted['queue:' .. queue] then lanes[#lanes + 1] = { list = KEYS[i], zset = KEYS[i + 1], queue = queue } end
end
local now = now_ms()
local claimed, notes = {}, {}
count = math.min(tonumber(count), 1000) -- Lua passes at most 8,000 arguments to a command, and a reply has a bound
fair_after, fairness, max_hash_bytes = tonumber(fair_after), tonumber(fairness), tonumber(max_hash_bytes)

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
local lease_args, held_args, mine = {}, { '', nonce }, {}

local function reject(element, lane, score, reason, at)
  quarantine_element(quarantine, reasons, element, at or now, now, reason, lane.queue, score or '')
  notes[#notes + 1] = { element, reason }
end

-- The task id that an element stands for and, when it is a foreign producer's JSON object, its members; else why not.
local function identify(element)
  local id, members = element, nil
  if string.sub(element, 1, 1) == '{' then
    if #element > max_hash_bytes then return nil, nil, 'element is over ' .. max_hash_bytes .. ' bytes' end
    local ok, object = pcall(cjson.decode, element)
    if not ok then return nil, nil, 'element is no JSON object' end
    id, members = object.task_id, object
    if type(id) == 'number' and id == math.floor(id) and math.abs(id) < 9007199254740992 then id = text_of(id) end
    if type(id) ~= 'string' then return nil, nil, 'element has no task_id' end
  end
  if id == '' or #id > 512 or string.find(id, '%c') then return nil, nil, 'not usable as a task id' end
  return id, members, nil
end

-- Makes the hash from a JSON element's members, or completes it.
local function adopt(key, members)
  for name, value in pairs(members) do
    if name ~= 'task_id' and name ~= '' and value ~= cjson.null then
      local kind = type(value)
      if kind == 'number' then value = text_of(value)
      elseif kind == 'boolean' then value = value and 'true' or 'false'
      elseif kind == 'table' then value = cjson.encode(value) end
      call('HSETNX', key, name, value)
    end
  end
  call('HSETNX', key, 'status', 'pending')
end

-- Why the hash cannot be loaded, nil when it can. Lengths are asked for before anything big is read.
local function too_big(key)
  local encoding = try('OBJECT', 'ENCODING', key) -- `try`: an ACL may forbid it, and the id is out of its queue by now
  if encoding == 'listpack' or encoding == 'ziplist' then return nil end
  if call('HLEN', key) > 256 then return 'hash has more than 256 fields' end
  local memory = try('MEMORY', 'USAGE', key, 'SAMPLES', 0) -- at least what the hash has to say, and one call for twenty
  if type(memory) == 'number' and memory <= max_hash_bytes then return nil end
  local bytes = 0
  for _, name in ipairs(call('HKEYS', key)) do
    bytes = bytes + #name + call('HSTRLEN', key, name)
    if bytes > max_hash_bytes then return 'hash is over ' .. max_hash_bytes .. ' bytes' end
  end
  return nil
end

-- Adds to `set` what the hash has to say of where the task came from, or a retry would stray.
local function correct(set, f, lane, score, processor)
  local function add(name, value) set[#set + 1] = name set[#set + 1] = value end
  if processor ~= f.processor then add('processor', processor) end
  if lane_suffix(f.queue) ~= lane_suffix(lane.queue) then add('queue', lane.queue) end
  if score and tonumber(f.priority) ~= tonumber(score) then add('priority', score) end
  return set
end

-- Moves a task of a paused processor out of the way of others: scheduled for the end of time, until promote sees it resumed.
local function park(id, key, f, lane, score, processor)
  call('HSET', key, unpack(correct({ 'status', 'scheduled' }, f, lane, score, processor)))
  call('PERSIST', key)
  call('ZADD', scheduled, PARKED_FROM + now, id)
  notes[#notes + 1] = { id, 'paused' }
end

-- Writes down that a task is this slot's now.
local function start(id, key, flat, f, lane, score, processor)
  local token = text_of(count_of(f.deliveries) + 1)
  local set = correct({ 'status', 'processing', 'worker_id', slot, 'started_at', time,
    'attempts', text_of(count_of(f.attempts) + 1), 'deliveries', token }, f, lane, score, processor)
  call('HSET', key, unpack(set))
  call('PERSIST', key)
  for i = 1, #set do flat[#flat + 1] = set[i] end
  lease_args[#lease_args + 1] = deadline
  lease_args[#lease_args + 1] = id
  held_args[#held_args + 1] = id
  held_args[#held_args + 1] = token .. ':' .. nonce
  mine[id] = true
  claimed[#claimed + 1] = { id, token, flat }
  fair_after = fair_after - 1
end

-- Takes over an element that was just removed from `lane`: claims it, or notes what became of it.
local function take(element, lane, score)
  taken_out = taken_out + 1
  local function duplicate(id) notes[#notes + 1] = { id, 'duplicate' } end
  local id, members, why = identify(element)
  if why then return reject(element, lane, score, why) end
  local key = data_prefix .. id
  if members and not wrong_type(key, 'hash') then adopt(key, members) end
  local kind = type_of(key)
  if kind == 'none' then return reject(id, lane, score, 'no hash', now + tonumber(grace_ms)) end
  if kind ~= 'hash' then return reject(element, lane, score, 'hash key holds a ' .. kind) end
  if mine[id] or call('ZSCORE', leases, id) then return duplicate(id) end
  why = too_big(key)
  if why then return reject(id, lane, score, why) end
  local flat = call('HGETALL', key)
  local f = fields_of(flat)
  if f.status == 'completed' or f.status == 'failed' or f.status == 'cancelled' then
    if call('TTL', key) == -1 then call('EXPIRE', key, TASK_SECONDS) end -- a tombstone in the list is gone now
    return duplicate(id)
  end
  if f.status == 'scheduled' and call('ZSCORE', scheduled, id) then return duplicate(id) end
  local processor = f.processor
  if not processor or processor == '' then processor = default_processor end
  if halted['processor:' .. processor] then return park(id, key, f, lane, score, processor) end
  local suspect = count_of(f.crashes) > 0
  if suspect and #claimed > 0 then -- it runs alone, or its neighbours would crash with it
    if score then call('ZADD', lane.zset, score, element) else call('RPUSH', lane.list, element) end
    taken_out, alone = taken_out - 1, true
    return
  end
  if processor == '' then return reject(id, lane, score, 'names no processor, and this worker has no default') end
  start(id, key, flat, f, lane, score, processor)
  alone = suspect
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
    if not best or created < best_age or best_age ~= best_age then best, best_age = { lane, element, score }, created end
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

local function fair_due() return fairness > 0 and fair_after <= 0 end

-- True when the fair pick was due, and there was one.
local function took_fairly()
  local pick = fair_due() and longest_waiting()
  if not pick then return false end
  looked_at = looked_at + 1
  fair_after = fairness
  if pick[3] then call('ZREM', pick[1].zset, pick[2]) else call('RPOP', pick[1].list) end
  take(pick[2], pick[1], pick[3])
  return true
end

local function take_scored(lane, low, high)
  while wanted() do
    if not took_fairly() then
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
end

local function take_listed(lane)
  while wanted() do
    if not took_fairly() then
      local element = call('RPOP', lane.list)
      if not element then return end
      looked_at = looked_at + 1
      take(element, lane, nil)
    end
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
if taken_out > 0 and more == 0 then -- our own writes ended Valkey's watch over these keys: a read renews it, for the doorbell
  for i = RESTKEYS, #KEYS do type_of(KEYS[i]) end
end
return { now, more, fair_after, claimed, notes }
