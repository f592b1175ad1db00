-- Put stranded tasks back where something knows of them, if they still are as the caller saw them. One that runs gets a
-- lease that has run out, so that reap takes it back and counts a crash, as it does when a worker is lost; any other
-- goes to the head of its line.
-- KEYS leases scheduled quarantine pending
-- PREFIX data_prefix list_prefix priority_prefix
-- ARGV scan_limit
-- REST per task: id, status, started_at ("" when the hash has none)
-- RETURNS per task "lease", "done", "running" (it is in a place, has ended or has changed) or "unknown"
local bad = wrong_type(leases, 'zset') or wrong_type(scheduled, 'zset') or wrong_type(quarantine, 'zset')
  or wrong_type(list_prefix, 'list')
if bad then return bad end
call('ZREM', leases, '') -- a write that is allowed when memory is out, so that those behind it are
local now, put_back = clock(), 0

local function salvage(id, status, started_at)
  local key = data_prefix .. id
  if type_of(key) ~= 'hash' then return 'unknown' end
  local f = call('HMGET', key, 'status', 'started_at', 'queue', 'priority')
  if (f[1] or '') ~= status or (f[2] or '') ~= started_at
    or not is_stranded(id, f[1], f[3], leases, scheduled, quarantine, list_prefix, priority_prefix, scan_limit) then
    return 'running'
  end
  if status == 'processing' then
    call('ZADD', leases, now, id)
    return 'lease'
  end
  call('HSET', key, 'status', 'pending')
  put('RPUSH', id, f[3], f[4], list_prefix, priority_prefix)
  put_back = put_back + 1
  return 'done'
end

local replies = {}
for i = REST, #ARGV, 3 do replies[#replies + 1] = salvage(ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
if put_back > 0 then try('INCRBY', pending, put_back) end
return replies
