-- Claim up to `count` tasks for one worker process, in the one claim order over sorted set and list.
-- A repeated call with the same nonce returns the same tasks: a lost reply claims nothing twice.
-- KEYS leases scheduled dead quarantine reasons paused pending held
-- RESTKEYS per lane: list, sorted set
-- PREFIX data_prefix
-- ARGV slot nonce count lease_ms fair_after fairness default_processor max_hash_bytes grace_ms unit
-- REST per lane: queue name
-- RETURNS {server ms, 1 when there may be more, claims until the next fair one, claimed, notes}; claimed is MessagePack, an
-- array of per task {id, token, hash}
local halted = try('SMEMBERS', paused) -- read in each call, so that the doorbell rings on a resume
if halted.err then return wrong_type(paused, 'set') end
for i = 1, #halted do halted[halted[i]] = true end
local lanes, is_empty = {}, true
for i = RESTKEYS, #KEYS, 2 do
  local listed, scored = try('LLEN', KEYS[i]), try('ZCARD', KEYS[i + 1]) -- numbers, or errors
  if type(listed) ~= 'number' or type(scored) ~= 'number' then
    return wrong_type(KEYS[i], 'list') or wrong_type(KEYS[i + 1], 'zset')
  end
  local queue = ARGV[REST + (i - RESTKEYS) / 2]
  if not halted['queue:' .. queue] then
    lanes[#lanes + 1] = { list = KEYS[i], zset = KEYS[i + 1], queue = queue, suffix = lane_suffix(queue) }
    is_empty = is_empty and listed + scored == 0
  end
end
local now = now_ms()
local claimed, taken, notes = {}, 0, {}
count = math.min(tonumber(count), 1000) -- Lua passes at most 8,000 arguments to a command, and a reply has a bound
fair_after, fairness, max_hash_bytes = tonumber(fair_after), tonumber(fairness), tonumber(max_hash_bytes)

-- As one text: each of many texts in a reply costs server and worker more than this does for all of them.
local function packed() return cmsgpack.pack(claimed) end

local last_nonce = try('HGET', held, '')
if last_nonce == nonce then -- the reply to this very call was lost: say it again
  local known = call('HGETALL', held)
  for i = 1, #known, 2 do
    local token, of = string.match(known[i + 1], '^(%d+):(.*)$')
    if known[i] ~= '' and of == nonce then
      claimed[#claimed + 1] = { known[i], tonumber(token), fields_of(call('HGETALL', data_prefix .. known[i])) }
    end
  end
  return { now, 1, fair_after, packed(), notes }
end
if is_empty and not (type(last_nonce) == 'table' and last_nonce.err) then -- an idle worker asks for this much
  return { now, 0, fair_after, packed(), notes }
end
local bad = wrong_type(leases, 'zset') or wrong_type(scheduled, 'zset') or wrong_type(dead, 'zset')
  or wrong_type(quarantine, 'zset') or wrong_type(reasons, 'hash') or wrong_type(held, 'hash')
if bad then return bad end

local time, deadline = stamp(now, unit), now + tonumber(lease_ms)
local looked_at, alone, taken_out = 0, false, 0
local mine, leased, held_args = {}, {}, { '', nonce }
local MANY, LONG = 32, string.rep('-', 65) -- arguments, two a lease; longer than zset-max-listpack-value
call('ZREM', leases, '') -- a write that is allowed when memory is out, so that those behind it are

local function reject(element, lane, score, reason, at)
  quarantine_element(quarantine, reasons, element, at or now, now, reason, lane.queue, score or '')
  notes[#notes + 1] = { element, reason }
end

-- The task id that an element stands for and, when it is a foreign producer's JSON object, its members; else why not.
local function identify(element)
  local id, members = element, nil
  if string.byte(element) == 123 then -- {
    if #element > max_hash_bytes then return nil, nil, 'element is over ' .. max_hash_bytes .. ' bytes' end
    local ok, object = pcall(cjson.decode, element)
    if not ok then return nil, nil, 'element is no JSON object' end
    id, members = object.task_id, object
    if type(id) == 'number' and id == math.floor(id) and math.abs(id) < 9007199254740992 then id = text_of(id) end
    if type(id) ~= 'string' then return nil, nil, 'element has no task_id' end
  end
  if id == '' or #id > 512 or not string.find(id, '^%C*$') then return nil, nil, 'not usable as a task id' end
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

-- The number after the count in a text, as text; mostly there is none yet.
local function after(text) return (not text or text == '0') and '1' or text_of(count_of(text) + 1) end

local function duplicate(id) notes[#notes + 1] = { id, 'duplicate' } end

-- Why the hash cannot be loaded, nil when it can. Lengths are asked for before anything big is read.
local function too_big(key)
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

-- The hash, flat (empty: there is none); or why not, and whether there is something else in its place.
local function loaded(key)
  local encoding = try('OBJECT', 'ENCODING', key) -- `try`: an ACL may forbid it, and the id is out of its queue by now
  if encoding ~= 'listpack' and encoding ~= 'ziplist' then -- those are small, and most are
    local kind = type_of(key)
    if kind == 'none' then return {} end
    if kind ~= 'hash' then return nil, 'hash key holds a ' .. kind, true end
    local why = too_big(key)
    if why then return nil, why end
  end
  local flat = try('HGETALL', key)
  if flat.err then return nil, 'hash key holds a ' .. type_of(key), true end
  return flat
end

-- Writes down where the task came from, as far as its hash does not say so, or a retry would stray.
local function correct(key, f, name, value)
  f[name] = value
  call('HSET', key, name, value)
end

-- Moves a task of a paused processor out of the way of others: scheduled for the end of time, until promote sees it resumed.
local function park(id, key)
  call('HSET', key, 'status', 'scheduled')
  call('PERSIST', key)
  call('ZADD', scheduled, PARKED_FROM + now, id)
  notes[#notes + 1] = { id, 'paused' }
end

-- Writes down that a task is this slot's now.
local function start(id, key, f)
  if f.deliveries ~= '0' then call('PERSIST', key) end -- it may have a lifetime, unless enqueue has just made it
  if f.completed_at then call('ZREM', dead, id) end -- somebody has pushed a dead letter again
  local token, attempts = after(f.deliveries), after(f.attempts)
  f.status, f.worker_id, f.started_at, f.attempts, f.deliveries = 'processing', slot, time, attempts, token
  call('HSET', key, 'status', 'processing', 'worker_id', slot, 'started_at', time, 'attempts', attempts,
    'deliveries', token)
  local n = #held_args
  held_args[n + 1], held_args[n + 2] = id, token .. ':' .. nonce
  n = #leased
  leased[n + 1], leased[n + 2] = deadline, id
  mine[id] = true
  taken = taken + 1
  claimed[taken] = { id, tonumber(token), f }
  fair_after = fair_after - 1
end

-- Takes over an element of `lane`: claims it, or notes what became of it. True when it has to stay in line.
local function take(element, lane, score)
  looked_at = looked_at + 1
  local id, members, why = identify(element)
  if why then return reject(element, lane, score, why) end
  local key = data_prefix .. id
  if members and not wrong_type(key, 'hash') then adopt(key, members) end
  local flat, unreadable, is_foreign = loaded(key)
  if unreadable then return reject(is_foreign and element or id, lane, score, unreadable) end
  if #flat == 0 then return reject(id, lane, score, 'no hash', now + tonumber(grace_ms)) end
  local f = fields_of(flat)
  if f.status == 'completed' or f.status == 'failed' or f.status == 'cancelled' then
    if call('TTL', key) == -1 then call('EXPIRE', key, TASK_SECONDS) end -- a tombstone in the list is gone now
    return duplicate(id)
  end
  if f.status == 'scheduled' and call('ZSCORE', scheduled, id) then return duplicate(id) end
  local processor = f.processor
  if not processor or processor == '' then processor = default_processor end
  local is_suspect, is_paused = f.crashes and count_of(f.crashes) > 0, #halted > 0 and halted['processor:' .. processor]
  if is_suspect and taken > 0 and not is_paused then -- it runs alone, or its neighbours would crash with it
    alone = true
    return true
  end
  if processor == '' then return reject(id, lane, score, 'names no processor, and this worker has no default') end
  if mine[id] or call('ZSCORE', leases, id) then return duplicate(id) end
  if processor ~= f.processor then correct(key, f, 'processor', processor) end
  if lane_suffix(f.queue) ~= lane.suffix then correct(key, f, 'queue', lane.queue) end
  if score and score ~= f.priority and tonumber(f.priority) ~= tonumber(score) then correct(key, f, 'priority', score) end
  if is_paused then return park(id, key) end
  alone = is_suspect
  start(id, key, f)
end

-- How many elements the next look at a lane may be for; none when this claim is over.
local function room()
  if alone or looked_at >= 2 * count + 64 then return 0 end
  local free = count - taken
  return fairness > 0 and math.min(free, math.max(1, fair_after)) or free
end

-- Takes these over, for the most part; returns those that are to leave their line. By then their leases are written, so
-- that whatever breaks a script off, no task is nowhere.
local function take_all(elements, lane, score)
  local gone = {}
  for i = 1, #elements do
    if take(elements[i], lane, score) then break end
    gone[i] = elements[i]
    if alone then break end
  end
  if #leased > 0 then
    -- A long member makes a skip list of the set: a list of up to 128 short ones is searched whole for each new one.
    if #leased > MANY then call('ZADD', leases, 0, LONG) end
    call('ZADD', leases, unpack(leased))
    if #leased > MANY then call('ZREM', leases, LONG) end
    leased = {}
  end
  taken_out = taken_out + #gone
  return gone
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

-- True when the fair pick was due, and there was one.
local function took_fairly()
  local pick = fairness > 0 and fair_after <= 0 and longest_waiting()
  if not pick then return false end
  local lane, element, score = unpack(pick, 1, 3)
  fair_after = fairness
  if #take_all({ element }, lane, score) > 0 then
    if score then call('ZREM', lane.zset, element) else call('RPOP', lane.list) end
  end
  return true
end

local function take_scored(lane, low, high)
  while room() > 0 do
    if not took_fairly() then
      local top = call('ZREVRANGEBYSCORE', lane.zset, high, low, 'WITHSCORES', 'LIMIT', 0, 1)
      if #top == 0 then return end
      local gone = take_all(call('ZRANGEBYSCORE', lane.zset, top[2], top[2], 'LIMIT', 0, room()), lane, top[2])
      if #gone > 0 then call('ZREM', lane.zset, unpack(gone)) end
    end
  end
end

local function take_listed(lane)
  while room() > 0 do
    if not took_fairly() then
      local elements = call('RPOP', lane.list, room()) -- to look at the end of a long list first takes Redis 7.0 for ever
      if not elements then return end
      local ok, gone = pcall(take_all, elements, lane, nil)
      for i = #elements, ok and #gone + 1 or 1, -1 do call('RPUSH', lane.list, elements[i]) end
      if not ok then error(gone) end
    end
  end
end

for _, lane in ipairs(lanes) do
  take_scored(lane, '(5', '+inf')
  take_listed(lane)
  take_scored(lane, '-inf', '5')
end

if taken > 0 then
  call('HSET', held, unpack(held_args))
  call('EXPIRE', held, HELD_SECONDS)
end
if taken_out > 0 then try('DECRBY', pending, taken_out) end
local more = room() == 0 and 1 or 0
if taken_out > 0 and more == 0 then -- our own writes ended Valkey's watch over these keys: a read renews it, for the doorbell
  for i = RESTKEYS, #KEYS do type_of(KEYS[i]) end
end
return { now, more, fair_after, packed(), notes }
