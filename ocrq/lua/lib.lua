-- Helpers in front of every script. Scripts do not roll back, so each checks key types before its first write, and
-- every first write is one that the server allows when it is out of memory (ZREM, HDEL, RPOP), so that work under way
-- can always be finished; only enqueue may be refused for memory.
local call, try = redis.call, redis.pcall
if not redis.REDIS_VERSION_NUM then redis.replicate_commands() end -- Redis 6.2 wants it before TIME

-- Texts where they can be: the server takes long to format a number.
local TASK_SECONDS, DAILY_SECONDS, HELD_SECONDS = '86400', '2592000', '86400'
local LIST_PRIORITY, HISTORY_LENGTH = 5, 16
local SESSION_SECONDS = 604800
local PARKED_FROM = 1e15 -- a due time from here on (the year 33658) parks a task of a paused processor

-- The time in ms, and as task hashes and notifications carry it: whole seconds or milliseconds, as text.
local function clock(unit)
  local t = call('TIME')
  local ms = t[1] * 1000 + math.floor(t[2] / 1000)
  return ms, unit == 'ms' and string.format('%.0f', ms) or t[1]
end

local function type_of(key) return call('TYPE', key).ok end

-- The error reply when a key holds something else than it should, nil when all is well.
local function wrong_type(key, expected)
  local found = type_of(key)
  if found == 'none' or found == expected then return nil end
  return redis.error_reply('OCRQTYPE ' .. key .. ' holds a ' .. found .. ', not a ' .. expected)
end

-- A whole number from 0, whatever a foreign program wrote.
local function count_of(text)
  local n = tonumber(text)
  if not n or n ~= n or n < 0 or n > 9007199254740991 then return 0 end
  return math.floor(n)
end

-- A number as text: whole ones in full (Lua's own way would write 1e+15), others as short as they stay exact.
local function text_of(n)
  if n == math.floor(n) and math.abs(n) <= 9007199254740992 then return string.format('%.0f', n) end
  local short = string.format('%.14g', n)
  return tonumber(short) == n and short or string.format('%.17g', n)
end

-- A count as text: the server would format the number in three times the time.
local function digits(n) return n == 1 and '1' or string.format('%d', n) end

local function fields_of(flat)
  local f = {}
  for i = 1, #flat, 2 do f[flat[i]] = flat[i + 1] end
  return f
end

-- What a slot holds, in the order of its claims: per task id, token and nonce (both nil where junk stands).
local function holdings(held)
  local flat, found = call('HGETALL', held), {}
  for i = 1, #flat, 2 do
    local token, nonce, rank = string.match(flat[i + 1], '^(%d+):([^:]*):?(%d*)$')
    if flat[i] ~= '' then
      found[#found + 1] = { id = flat[i], token = token, nonce = nonce,
        at = 10000 * (tonumber(nonce) or 0) + (tonumber(rank) or 0) }
    end
  end
  table.sort(found, function(a, b) return a.at < b.at end)
  return found
end

local function lane_suffix(queue)
  if type(queue) ~= 'string' or queue == '' or queue == 'default' then return '' end
  return ':' .. queue
end

-- Puts a task into its line: `push` is RPUSH for the head (it was there before) or LPUSH for the tail. A lane of a
-- wrong type (a foreign program's) sends the id to the default list instead of losing it, so the caller has checked that.
local function put(push, id, queue, priority, list_prefix, priority_prefix)
  local suffix, score = lane_suffix(queue), tonumber(priority)
  local done
  if score and score == score and score ~= LIST_PRIORITY then
    done = try('ZADD', priority_prefix .. suffix, score, id)
  else
    done = try(push, list_prefix .. suffix, id)
  end
  if type(done) == 'table' and done.err then call(push, list_prefix, id) end
end

-- Whether a task is in no place though its status says that it waits or runs, so that nothing would ever start or end
-- it. A list of more than `scan_limit` elements is not searched: it may be in there.
local function is_stranded(id, status, queue, leases, scheduled, quarantine, list_prefix, priority_prefix, scan_limit)
  if status == 'completed' or status == 'failed' or status == 'cancelled' or call('ZSCORE', leases, id)
    or call('ZSCORE', scheduled, id) or call('ZSCORE', quarantine, id) then
    return false
  end
  for _, suffix in ipairs({ '', lane_suffix(queue) }) do
    local list, zset = list_prefix .. suffix, priority_prefix .. suffix
    if type_of(zset) == 'zset' and call('ZSCORE', zset, id) then return false end
    if type_of(list) == 'list' and (call('LLEN', list) > tonumber(scan_limit) or call('LPOS', list, id)) then return false end
  end
  return true
end

-- The lists and the sorted sets of the default queue and of all named ones, as far as they are such.
local function lanes_of(queue, priority, queues, list_prefix, priority_prefix)
  local lists, zsets = { queue }, { priority }
  for _, name in ipairs(call('SMEMBERS', queues)) do
    local list, zset = list_prefix .. ':' .. name, priority_prefix .. ':' .. name
    if type_of(list) == 'list' then lists[#lists + 1] = list end
    if type_of(zset) == 'zset' then zsets[#zsets + 1] = zset end
  end
  return lists, zsets
end

-- Elements in lanes.
local function waiting_in(lists, zsets)
  local waiting = 0
  for _, list in ipairs(lists) do waiting = waiting + call('LLEN', list) end
  for _, zset in ipairs(zsets) do waiting = waiting + call('ZCARD', zset) end
  return waiting
end

-- UTC date of a time in ms, YYYY-MM-DD (days to civil date, after H. Hinnant's public-domain algorithm).
local function date_of(ms)
  local z = math.floor(ms / 86400000) + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02d', year, month, day)
end

-- Adds finished tasks to counter and daily hash. A counter that a foreign program broke must not stop a task, so
-- errors are passed over here.
local function tally(counter, daily_prefix, now, field, n, duration_ms)
  try('INCRBY', counter, n)
  local daily = daily_prefix .. date_of(now)
  local count, has_lifetime = try('HINCRBY', daily, field, n), false
  if duration_ms and type(count) == 'number' and count > 0 then
    local seen = call('HMGET', daily, 'avg_processing_time', 'processing_ms')
    local before, mean, sum = math.max(0, count - n), tonumber(seen[1]), tonumber(seen[2])
    has_lifetime = seen[2] -- a field of ours
    local is_mean = mean and mean >= 0 and mean < 1e12
    if not is_mean then mean = duration_ms / n end
    -- The sum counts as long as the mean is what we made of it: other programs set a mean, or add to the number alone.
    if not (is_mean and sum and string.format('%.3f', sum / before) == seen[1]) then sum = mean * before end
    sum = math.floor(1000 * (sum + duration_ms) + 0.5) / 1000 -- as it is written, or the mean would not be what it makes
    try('HSET', daily, 'avg_processing_time', string.format('%.3f', sum / count), 'processing_ms', text_of(sum))
  end
  -- Once, also when others wrote it first.
  if not has_lifetime and call('TTL', daily) == -1 then call('EXPIRE', daily, DAILY_SECONDS) end
end

-- Publishes to all, to the user and to the task. Never fails: by now the state has changed, and a notification is only a
-- hint.
local function notify(message, id, user_id, all, user_prefix, task_prefix)
  try('PUBLISH', all, message)
  if user_id and user_id ~= '' then try('PUBLISH', user_prefix .. user_id, message) end
  try('PUBLISH', task_prefix .. id, message)
end

-- Who may hear what is published: nobody, subscribers to that very channel alone, or anybody. That it is not anybody,
-- only a server that is alone can tell, with no cluster around it and no replica, where others would be listening (as
-- long as it keeps a backlog, one may come back).
local function audience()
  local function info(section)
    local text = try('INFO', section)
    return type(text) == 'string' and text or ''
  end
  local stats = info('stats')
  if not (string.find(stats, 'pubsub_patterns:0\r', 1, true) and string.find(info('cluster'), 'cluster_enabled:0', 1, true)
    and string.find(info('replication'), 'repl_backlog_active:0', 1, true)) then
    return 'anybody'
  end
  return string.find(stats, 'pubsub_channels:0\r', 1, true) and 'nobody' or 'subscribers'
end

-- JSON with each byte that is no UTF-8 (a foreign id's) as the lone surrogate that stands for it, or strict readers fail.
local function clean(json)
  if string.find(json, '^[^\128-\255]*$') then return json end -- all of it is ASCII
  local function escaped(bytes)
    return (string.gsub(bytes, '.', function(byte) return string.format('\\udc%02x', string.byte(byte)) end))
  end
  return (string.gsub(json, '([\192-\255]?)([\128-\191]*)', function(lead, rest)
    local first, second = string.byte(lead) or 0, string.byte(rest) or 0
    local size = first < 194 and 9 or first < 224 and 1 or first < 240 and 2 or first < 245 and 3 or 9
    if #rest < size or first == 224 and second < 160 or first == 237 and second > 159
      or first == 240 and second < 144 or first == 244 and second > 143 then
      return escaped(lead .. rest)
    end
    return lead .. string.sub(rest, 1, size) .. escaped(string.sub(rest, size + 1))
  end))
end

-- JSON head of a notification about a task that ended without its worker's help.
local function message_head(kind, id, f, status, error, error_type)
  local m = cjson.encode({ type = kind, task_id = id, user_id = f.user_id or '', status = status, error = error,
    error_type = error_type, attempts = error and count_of(f.attempts) or nil })
  return string.sub(clean(m), 1, -2) .. ',"timestamp":'
end

-- One more line of a task's history of failures, the newest HISTORY_LENGTH kept.
local function with_history(history, entry)
  local lines = {}
  for line in string.gmatch(history or '', '[^\n]+') do lines[#lines + 1] = line end
  lines[#lines + 1] = entry
  return table.concat(lines, '\n', math.max(1, #lines - HISTORY_LENGTH + 1))
end

local function quarantine_element(zset, reasons, element, at, now, reason, queue, priority)
  call('ZADD', zset, at, element)
  call('HSET', reasons, element, cjson.encode({
    reason = reason, queue = queue, priority = tostring(priority), first_seen = string.format('%.0f', now),
  }))
end

-- What is written beside a quarantined element, `reason` always a text.
local function reason_of(reasons, element)
  local ok, known = pcall(cjson.decode, call('HGET', reasons, element) or '')
  if not ok or type(known) ~= 'table' then known = {} end
  if type(known.reason) ~= 'string' then known.reason = '' end
  if type(known.queue) ~= 'string' then known.queue = nil end
  if type(known.priority) ~= 'string' then known.priority = nil end
  return known
end

-- Whether sessions can be indexed there: a foreign program may have something else under the name.
local function is_index(key)
  local kind = type_of(key)
  return kind == 'zset' or kind == 'none'
end

-- Notes until when a session may be used (ms), in the index of its user and among the active users.
local function note_session(index, active, user, stored, until_ms, now)
  call('ZREMRANGEBYSCORE', index, '-inf', now - 1000 * SESSION_SECONDS) -- their keys have expired by now
  call('ZADD', index, 'GT', until_ms, stored)
  call('EXPIRE', index, SESSION_SECONDS)
  call('ZADD', active, 'GT', until_ms, user)
  call('EXPIRE', active, SESSION_SECONDS)
end

-- Looks how long a user stays active: as long as the best session in the index that still exists. After 100 that do
-- not exist the rest is left to the next call.
local function settle_user(index, active, user, now, session_prefix)
  for _ = 1, 100 do
    local best = call('ZREVRANGE', index, 0, 0, 'WITHSCORES')
    if not best[1] or tonumber(best[2]) < now then return call('ZREM', active, user) end
    if call('EXISTS', session_prefix .. best[1]) == 1 then return call('ZADD', active, best[2], user) end
    call('ZREM', index, best[1])
  end
end

-- Writes the documented count of active users. A counter that a foreign program broke must not log anybody out.
local function count_users(active, users_active, now)
  call('ZREMRANGEBYSCORE', active, '-inf', '(' .. string.format('%.0f', now))
  local number = call('ZCARD', active)
  try('SET', users_active, number)
  return number
end
