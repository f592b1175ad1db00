-- Claim up to `count` tasks for one worker process, in the one claim order over sorted set and list.
-- A repeated call with the same nonce (a number; each new claim of a slot has a higher one) returns the same tasks: a lost
-- reply claims nothing twice.
-- KEYS leases scheduled dead quarantine reasons paused pending held
-- RESTKEYS per lane: list, sorted set
-- PREFIX data_prefix
-- ARGV slot nonce count lease_ms fair_after fairness default_processor max_hash_bytes max_deaths grace_ms unit
-- REST per lane: queue name
-- RETURNS MessagePack, {server ms, the same as hashes have it, whether there may be more, whether a task was met that is
-- claimed alone, claims until the next fair one, per task {id, token, hash, in which status, worker_id and started_at may
-- be missing or old, and attempts and deliveries missing where both are 1}, notes}
local halted = try('SMEMBERS', paused)
if halted.err then return wrong_type(paused, 'set') or halted end
for i = 1, #halted do halted[halted[i]] = true end
local lanes, full, scores = {}, 0, 0
for i = RESTKEYS, #KEYS, 2 do
  local listed, scored = try('LLEN', KEYS[i]), try('ZCARD', KEYS[i + 1]) -- numbers, or errors
  if type(listed) ~= 'number' or type(scored) ~= 'number' then
    return wrong_type(KEYS[i], 'list') or wrong_type(KEYS[i + 1], 'zset') or type(listed) == 'table' and listed or scored
  end
  local queue = ARGV[REST + (i - RESTKEYS) / 2]
  if not halted['queue:' .. queue] then
    lanes[#lanes + 1] = { list = KEYS[i], zset = KEYS[i + 1], queue = queue, suffix = lane_suffix(queue),
      listed = listed, scored = scored }
    if listed + scored > 0 then full = full + 1 end
    scores = scores + scored
  end
end
local now, time = clock(unit)
local claimed, taken, alone, notes = {}, 0, false, {}
count = math.min(tonumber(count), 1000) -- Lua passes at most 8,000 arguments to a command, and a reply has a bound
fair_after, fairness, max_hash_bytes = tonumber(fair_after), tonumber(fairness), tonumber(max_hash_bytes)
if full == 1 and scores == 0 then fairness = 0 end -- in a single list, the fair pick is the next one anyway

-- In one text: each of many in a reply costs server and worker more than this does for all of them.
local function told(more) return cmsgpack.pack({ now, time, more, alone, math.max(0, fair_after), claimed, notes }) end

local last_nonce = try('HGET', held, '')
if last_nonce == nonce then -- the reply to this very call was lost: say it again
  for _, its in ipairs(holdings(held)) do
    if its.nonce == nonce then
      local f = fields_of(call('HGETALL', data_prefix .. its.id))
      time = f.started_at or time
      claimed[#claimed + 1] = { its.id, tonumber(its.token), f }
    end
  end
  return told(true)
end
local unusable = type(last_nonce) == 'table'
if full == 0 and not unusable then return told(false) end -- an idle worker asks for this much
local allowed = try('ZREM', leases, '') -- a write that is allowed when memory is out, so that those behind it are
local bad = (unusable or type(allowed) == 'table')
  and (wrong_type(held, 'hash') or wrong_type(leases, 'zset') or unusable and last_nonce or allowed)
if bad then return bad end

local deadline = string.format('%.0f', now + tonumber(lease_ms))
local looked_at, taken_out = 0, 0
local mine, leased, leasing, held_args = {}, {}, 0, { '', nonce } -- `leasing`: how many arguments there are for leases
local of_claim = ':' .. nonce .. ':'
local are_usual = false -- whether all ids of the batch at hand look like ids
local MANY = 32 -- arguments, two a lease
local LONG = '-----------------------------------------------------------------' -- over the longest a listpack takes
local foul -- the error reply when a key that is needed for an unusual element is not as it should be

-- What is rarely needed is made when it is: each function would cost every claim some of its time.
local function unusual_taker()
  foul = wrong_type(scheduled, 'zset') or wrong_type(dead, 'zset') or wrong_type(quarantine, 'zset')
    or wrong_type(reasons, 'hash')

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

  -- Writes down where the task came from, as far as its hash does not say so, or a retry would stray.
  local function correct(key, f, name, value)
    f[name] = value
    call('HSET', key, name, value)
  end

  -- Moves a task of a paused processor out of the way of others: scheduled for the end of time, until promote sees it
  -- resumed.
  local function park(id, key)
    call('HSET', key, 'status', 'scheduled')
    call('PERSIST', key)
    call('ZADD', scheduled, PARKED_FROM + now, id)
    notes[#notes + 1] = { id, 'paused' }
  end

  local function reject(what, lane, score, reason, at)
    quarantine_element(quarantine, reasons, what, at or now, now, reason, lane.queue, score or '')
    notes[#notes + 1] = { what, reason }
  end

  -- The id and the hash that an element stands for, its hash made where the element has it all; nil when it was rejected.
  local function loaded(element, lane, score)
    local id, members, why = identify(element)
    if why then return reject(element, lane, score, why) end
    local key = data_prefix .. id
    local kind = type_of(key)
    if members and (kind == 'hash' or kind == 'none') then
      adopt(key, members)
      kind = 'hash'
    end
    if kind == 'none' then return reject(id, lane, score, 'no hash', now + tonumber(grace_ms)) end
    if kind ~= 'hash' then return reject(element, lane, score, 'hash key holds a ' .. kind) end
    why = too_big(key)
    if why then return reject(id, lane, score, why) end
    return id, fields_of(call('HGETALL', key))
  end

  -- The id of a task that can be started, and its hash, which may be `known`; or nil, and true when the element has to
  -- stay in line.
  return function(element, lane, score, known)
    if foul then return nil, true end
    local id, f = element, known
    if not known then id, f = loaded(element, lane, score) end
    if not id then return nil end
    local key = data_prefix .. id
    local function duplicate() notes[#notes + 1] = { id, 'duplicate' } end
    if f.status == 'completed' or f.status == 'failed' or f.status == 'cancelled' then
      if call('TTL', key) == -1 then call('EXPIRE', key, TASK_SECONDS) end -- a tombstone in the list is gone now
      return duplicate()
    end
    if f.status == 'scheduled' and call('ZSCORE', scheduled, id) then return duplicate() end
    local processor = f.processor
    if not processor or processor == '' then processor = default_processor end
    -- The death of a whole worker is blamed on all that it held; who was there twice is a suspect, and who bears no more.
    local deaths, is_paused = count_of(f.worker_deaths), halted['processor:' .. processor]
    local is_suspect = count_of(f.crashes) > deaths or deaths > 1 or deaths == 1 and tonumber(max_deaths) < 3
    if is_suspect and taken > 0 and not is_paused then -- it runs alone, or its neighbours would crash with it
      alone = true
      return nil, true
    end
    if processor == '' then return reject(id, lane, score, 'names no processor, and this worker has no default') end
    if mine[id] or call('ZSCORE', leases, id) then return duplicate() end
    if processor ~= f.processor then correct(key, f, 'processor', processor) end
    if lane_suffix(f.queue) ~= lane.suffix then correct(key, f, 'queue', lane.queue) end
    if score and score ~= f.priority and tonumber(f.priority) ~= tonumber(score) then correct(key, f, 'priority', score) end
    if is_paused then return park(id, key) end
    if f.completed_at then call('ZREM', dead, id) end -- somebody has pushed a dead letter again
    alone = is_suspect
    return id, f
  end
end

local take_unusual

-- The hash, by field; empty when it is none, or not known to be small enough to be read. In RESP3, which has it as a map.
-- `try`: an ACL may forbid what it asks, and the id is out of its queue by now.
local function usual_hash(key)
  local encoding = try('OBJECT', 'ENCODING', key)
  if encoding == 'hashtable' then
    local length = try('HLEN', key)
    local memory = type(length) == 'number' and length <= 256 and try('MEMORY', 'USAGE', key, 'SAMPLES', '0')
    if type(memory) ~= 'number' or memory > max_hash_bytes then return {} end
  elseif encoding ~= 'listpack' and encoding ~= 'ziplist' then -- those are small, and most are
    return {}
  end
  return try('HGETALL', key).map or {}
end

-- The number after the count in a text, as text; mostly there is none yet.
local function after(text) return (not text or text == '0') and '1' or text_of(count_of(text) + 1) end

-- A number to 9999 as four digits, for a fifth of what formatting it costs.
local char = string.char
local function padded(n)
  local ones, tens, hundreds = n % 10, n % 100, n % 1000
  return char(48 + (n - hundreds) / 1000, 48 + (hundreds - tens) / 100, 48 + (tens - ones) / 10, 48 + ones)
end

-- Whether all of these look like ids: not empty, not too long, no JSON object, no control character. One look at all of
-- them, which may say no where the pattern in `take` says yes: written as JSON, they are as long as before.
local function look_usual(elements)
  local length = 1
  for i = 1, #elements do
    local size = #elements[i]
    if size == 0 or size > 512 then return false end
    length = length + size + 3 -- two quotes and a comma
  end
  local json = cjson.encode(elements)
  return #json == length and not string.find(json, '"{', 1, true)
end

-- Takes over an element of `lane`: claims it, or notes what became of it. True when it has to stay in line.
local function take(element, lane, score, has_lease)
  looked_at = looked_at + 1
  local id, key = element, data_prefix .. element
  local f = (are_usual or #id <= 512 and string.find(id, '^[^{%c]%C*$')) and usual_hash(key)
  local processor = f and f.processor or ''
  if has_lease or mine[id] or not f or f.status ~= 'pending' or processor == '' or halted[1] and halted['processor:' .. processor]
    or (f.queue or 'default') ~= lane.queue or score and f.priority and score ~= f.priority or f.crashes or f.completed_at then
    take_unusual = take_unusual or unusual_taker()
    redis.setresp(2)
    local found, more = take_unusual(element, lane, score, f and f.status and f)
    redis.setresp(3)
    if not found then return more end
    id, f = found, more
    key = data_prefix .. id
  end
  if f.deliveries ~= '0' then call('PERSIST', key) end -- it may have a lifetime, unless enqueue has just made it
  local token, attempts = after(f.deliveries), after(f.attempts)
  f.status = nil -- the worker knows what it is told of all, and what most have
  if token == '1' and attempts == '1' then f.attempts, f.deliveries = nil, nil
  else f.attempts, f.deliveries = attempts, token end
  if score and not f.priority then -- mostly a foreign producer's
    f.priority = score
    call('HSET', key, 'status', 'processing', 'worker_id', slot, 'started_at', time, 'attempts', attempts,
      'deliveries', token, 'priority', score)
  else
    call('HSET', key, 'status', 'processing', 'worker_id', slot, 'started_at', time, 'attempts', attempts,
      'deliveries', token)
  end
  taken, leasing = taken + 1, leasing + 2
  held_args[2 * taken + 1], held_args[2 * taken + 2] = id, token .. of_claim .. padded(taken)
  leased[leasing - 1], leased[leasing] = deadline, id
  mine[id] = true
  claimed[taken] = { id, token == '1' and 1 or tonumber(token), f }
  fair_after = fair_after - 1
end

-- How many elements the next look at a lane may be for; none when this claim is over.
local function room()
  if alone or foul or looked_at >= 2 * count + 64 then return 0 end
  local free = count - taken
  return fairness > 0 and math.min(free, math.max(1, fair_after)) or free
end

-- Takes these over, for the most part; returns those that are to leave their line. By then their leases are written, so
-- that whatever breaks a script off, no task is nowhere.
local function take_all(elements, lane, score)
  local gone, has_lease = {}, call('ZMSCORE', leases, unpack(elements))
  are_usual = look_usual(elements)
  redis.setresp(3)
  for i = 1, #elements do
    if take(elements[i], lane, score, has_lease[i]) then break end
    gone[i] = elements[i]
    if alone then break end
  end
  redis.setresp(2)
  if leasing > 0 then
    -- A long member makes a skip list of the set: a list of up to 128 short ones is searched whole for each new one.
    if leasing > MANY then call('ZADD', leases, '0', LONG) end
    call('ZADD', leases, unpack(leased))
    if leasing > MANY then call('ZREM', leases, LONG) end
    leased, leasing = {}, 0
  end
  taken_out = taken_out + #gone
  return gone
end

-- Takes these out of their sorted set, where they stand one behind the other: one search instead of one for each.
-- `try`: an ACL may forbid what is new here, and by now they are claimed.
local function leave_scored(lane, gone)
  if #gone == 0 then return end
  local first = #gone > 3 and try('ZRANK', lane.zset, gone[1])
  if type(first) ~= 'number' or type(try('ZREMRANGEBYRANK', lane.zset, first, first + #gone - 1)) ~= 'number' then
    call('ZREM', lane.zset, unpack(gone))
  end
  lane.scored = lane.scored - #gone
end

-- True when the fair pick was due, and there was one: the head of the level that has waited longest, over all lanes.
local function took_fairly()
  if fairness <= 0 or fair_after > 0 then return false end
  local best, best_age
  local function consider(lane, element, score)
    local created = call('TYPE', data_prefix .. element).ok == 'hash'
      and tonumber(call('HGET', data_prefix .. element, 'created_at')) or now
    if created > 1e11 then created = created / 1000 end
    if not best or created < best_age or best_age ~= best_age then best, best_age = { lane, element, score }, created end
  end
  for _, lane in ipairs(lanes) do
    local tail = call('LINDEX', lane.list, '-1')
    if tail then consider(lane, tail, nil) end
    local from, levels = '-inf', 0
    while levels < 16 do
      local head = call('ZRANGEBYSCORE', lane.zset, from, '+inf', 'WITHSCORES', 'LIMIT', '0', '1')
      if #head == 0 then break end
      consider(lane, head[1], head[2])
      from, levels = '(' .. head[2], levels + 1
    end
  end
  if not best then return false end
  local lane, element, score = unpack(best, 1, 3)
  fair_after = fairness
  if #take_all({ element }, lane, score) > 0 then
    if score then leave_scored(lane, { element }) else call('RPOP', lane.list) end
  end
  return true
end

local function take_scored(lane, only_urgent)
  while lane.scored > 0 and room() > 0 do
    if not took_fairly() then
      local top = call('ZREVRANGE', lane.zset, '0', '0', 'WITHSCORES') -- by score it takes Redis far longer
      if not top[1] or only_urgent and tonumber(top[2]) <= LIST_PRIORITY then return end
      local elements = lane.scored == 1 and { top[1] }
        or call('ZRANGEBYSCORE', lane.zset, top[2], top[2], 'LIMIT', '0', room())
      leave_scored(lane, take_all(elements, lane, top[2]))
    end
  end
end

local function take_listed(lane)
  while room() > 0 do
    if not took_fairly() then
      local wanted = room()
      local elements = call('RPOP', lane.list, wanted) -- to look at the end of a long list first takes Redis 7.0 for ever
      if not elements then return end
      local ok, gone = pcall(take_all, elements, lane, nil)
      for i = #elements, ok and #gone + 1 or 1, -1 do call('RPUSH', lane.list, elements[i]) end
      if not ok then error(gone, 0) end
      if #elements < wanted then return end
    end
  end
end

for _, lane in ipairs(lanes) do
  if lane.scored > 0 then take_scored(lane, true) end
  if lane.listed > 0 then take_listed(lane) end
  if lane.scored > 0 then take_scored(lane, false) end
end

if taken > 0 then
  if not last_nonce then call('HSET', held, '', LONG) end -- a hash table from the start, for the same reason
  call('HSET', held, unpack(held_args))
  call('EXPIRE', held, HELD_SECONDS)
end
if taken_out > 0 then try('DECRBY', pending, taken_out) end
if foul and taken == 0 then return foul end
return told(room() == 0)
