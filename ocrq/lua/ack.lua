-- Complete tasks, each with its whole documented lifecycle in this one step; a token that is not the newest is refused.
-- A repeated call changes nothing and says "again".
-- KEYS leases held completed
-- PREFIX data_prefix result_prefix daily_prefix user_channel_prefix task_channel_prefix notifications
-- ARGV unit result_seconds packed packed_users
-- `packed` is a MessagePack array of three, of all tasks together, as a table for each would take Lua longer: of each
-- WIDTH values, namely id, token, duration in ms, result (JSON, "" for none), up to where in `fields` its own ones are;
-- `fields` (name, text, ...; texts of FIGURES are JSON numbers); places of those tasks whose hash has an error.
-- `packed_users`, with the user id of each, is seldom unpacked: only where somebody listens.
-- RETURNS of each task that is not done now its place in `packed`, "again" or "lost"
local allowed = try('ZREM', leases, '') -- a write that is allowed when memory is out, so that those behind it are
local known = try('HLEN', held)
local bad = (type(allowed) == 'table' or type(known) == 'table')
  and (wrong_type(leases, 'zset') or wrong_type(held, 'hash') or type(allowed) == 'table' and allowed or known)
if bad then return bad end
local now, time = clock(unit)
local WIDTH = 5
local values, fields, erred = unpack(cmsgpack.unpack(packed), 1, 3)
local others, duration = {}, 0
local done, done_ids = {}, {} -- places and ids of those that are completed now
local has_error = {}
for i = 1, #erred do has_error[erred[i]] = true end
-- Times instead of lifetimes: those the server would have to turn into times, each for itself.
local kept_until = string.format('%.0f', now + 1000 * TASK_SECONDS)
local cached_until = string.format('%.0f', now + 1000 * result_seconds)
local MANY = 4 -- messages take longer to make than it takes to see whether anybody hears them
local FIGURES = { confidence = true, word_count = true, page_count = true } -- what a message says of a result

-- Texts as they stand between quotes in JSON. Together they are soon seen to be no other there, as they mostly are.
local function in_json(texts)
  local length, json, escaped = 1, cjson.encode(texts), {}
  for i = 1, #texts do length = length + #texts[i] + 3 end
  if #json == length and clean(json) == json then return texts end
  for i = 1, #texts do escaped[i] = string.sub(clean(cjson.encode(texts[i])), 2, -2) end
  return escaped
end

-- The fields of a task: where the first and where the last of them is.
local function range(i) return (values[WIDTH * (i - 1)] or 0) + 1, values[WIDTH * i] end

-- What the documented message of a completed task has between the user and the time.
local function outcome(first, last)
  local result
  for at = first, last, 2 do
    if FIGURES[fields[at]] then
      result = (result and result .. ',"' or ',"result":{"') .. fields[at] .. '":' .. fields[at + 1]
    end
  end
  return '","status":"completed"' .. (result and result .. '}' or '')
end

-- Publishes what has been completed, each to all, to its user and by its id, as far as that may be heard. Never fails: by
-- now the state has changed, and a notification is only a hint.
local function announce(to)
  local users, of_users, channels = cmsgpack.unpack(packed_users), {}, { notifications }
  for i = 1, #done do
    local id, user = done_ids[i], users[done[i]]
    of_users[i] = user
    channels[2 * i] = user ~= '' and user_channel_prefix .. user or ''
    channels[2 * i + 1] = task_channel_prefix .. id
  end
  local id_texts, user_texts = in_json(done_ids), in_json(of_users)
  local listeners = to == 'subscribers' and try('PUBSUB', 'NUMSUB', unpack(channels)) -- per channel: its name, how many
  local function is_heard(at) return channels[at] ~= '' and (not listeners or listeners.err or listeners[2 * at] > 0) end
  local to_all = is_heard(1)
  for i = 1, #done do
    local to_user, to_task = is_heard(2 * i), is_heard(2 * i + 1)
    if to_all or to_user or to_task then
      local message = '{"type":"task_completed","task_id":"' .. id_texts[i] .. '","user_id":"' .. user_texts[i]
        .. outcome(range(done[i])) .. ',"timestamp":' .. time .. '}'
      if to_all then try('PUBLISH', notifications, message) end
      if to_user then try('PUBLISH', channels[2 * i], message) end
      if to_task then try('PUBLISH', channels[2 * i + 1], message) end
    end
  end
end

for i = 1, #values / WIDTH do
  local at = WIDTH * (i - 1) + 1
  local id, token, took, result = values[at], values[at + 1], values[at + 2], values[at + 3]
  local key = data_prefix .. id
  local now_is = try('HMGET', key, 'deliveries', 'status') -- of another type: an error, and no array
  local is_ours = (now_is[1] == '1' and 1 or tonumber(now_is[1])) == token
  if is_ours and now_is[2] == 'processing' then
    local place = #done + 1
    done[place], done_ids[place] = i, id
    if has_error[i] then call('HDEL', key, 'error', 'error_type') end
    call('HSET', key, 'status', 'completed', 'completed_at', time, unpack(fields, range(i)))
    call('PEXPIREAT', key, kept_until)
    if result ~= '' then call('SET', result_prefix .. id, result, 'PXAT', cached_until) end
    duration = duration + took
  else
    local is_again = is_ours and now_is[2] == 'completed'
    if is_again then call('HDEL', held, id) end -- a server that went back in time gave one token to two; one was first
    others[#others + 1], others[#others + 2] = i, is_again and 'again' or 'lost'
  end
end
if #done > 0 then
  call('ZREM', leases, unpack(done_ids))
  call('HDEL', held, unpack(done_ids))
  tally(completed, daily_prefix, now, 'tasks_completed', #done, duration)
  local to = #done < MANY and 'anybody' or audience()
  if to ~= 'nobody' then announce(to) end
end
return others
