-- Enqueue tasks into one queue, each once: an id that exists already is left as it is.
-- KEYS queue priority scheduled queues total pending
-- PREFIX data_prefix
-- ARGV queue_name unit
-- REST per task: id, score ("" for the list), due ("" now, "+ms" from now, else unix ms), n, then n field/value texts
-- RETURNS one character per task, "1" created or "0" existed
local i, to_list, to_zset, to_schedule = REST, false, false, false
while ARGV[i] do
  if ARGV[i + 2] ~= '' then to_schedule = true end
  if ARGV[i + 1] == '' then to_list = true else to_zset = true end
  i = i + 4 + ARGV[i + 3]
end
local bad = to_list and type(try('LLEN', queue)) ~= 'number' and wrong_type(queue, 'list') -- LLEN is cheaper than TYPE
  or to_zset and wrong_type(priority, 'zset') or to_schedule and wrong_type(scheduled, 'zset')
  or queue_name ~= 'default' and wrong_type(queues, 'set')
if bad then return bad end
local now, time = clock(unit)
local created, waiting, list, replies = 0, 0, {}, {}
i = REST
while ARGV[i] do
  local id, score, due, first = ARGV[i], ARGV[i + 1], ARGV[i + 2], i + 4
  i = first + ARGV[i + 3]
  local key, reply = data_prefix .. id, '0'
  if call('EXISTS', key) == 0 then
    local at = due == '' and 0 or string.sub(due, 1, 1) == '+' and now + tonumber(string.sub(due, 2)) or tonumber(due)
    local later = at > now
    call('HSET', key, 'status', later and 'scheduled' or 'pending', 'created_at', time, 'attempts', '0',
      'deliveries', '0', unpack(ARGV, first, i - 1))
    if later then
      call('ZADD', scheduled, at, id)
    elseif score == '' then
      list[#list + 1] = id
      waiting = waiting + 1
    else
      call('ZADD', priority, score, id)
      waiting = waiting + 1
    end
    created, reply = created + 1, '1'
  end
  replies[#replies + 1] = reply
end
for at = 1, #list, 1000 do call('LPUSH', queue, unpack(list, at, math.min(at + 999, #list))) end
if queue_name ~= 'default' then call('SADD', queues, queue_name) end
if created > 0 then try('INCRBY', total, digits(created)) end
if waiting > 0 then try('INCRBY', pending, digits(waiting)) end
return table.concat(replies)
