-- Change the priority of a task that waits, and with it its place; of one that waits for its time, its hash alone.
-- KEYS leases scheduled quarantine
-- PREFIX data_prefix list_prefix priority_prefix
-- ARGV id new scan_limit
-- RETURNS "done", "running", "ended", "elsewhere" (set aside, or in no line), "deep" (not seen in a long list) or "unknown"
local bad = wrong_type(leases, 'zset') or wrong_type(scheduled, 'zset') or wrong_type(quarantine, 'zset')
if bad then return bad end
local key = data_prefix .. id
if type_of(key) ~= 'hash' then return 'unknown' end
local f = call('HMGET', key, 'status', 'queue')
local list, zset = list_prefix .. lane_suffix(f[2]), priority_prefix .. lane_suffix(f[2])
bad = wrong_type(list, 'list') or wrong_type(zset, 'zset')
if bad then return bad end
if f[1] == 'completed' or f[1] == 'failed' or f[1] == 'cancelled' then return 'ended' end
if f[1] == 'processing' or call('ZSCORE', leases, id) then return 'running' end
if call('ZSCORE', quarantine, id) then return 'elsewhere' end

-- Where it stands in the list: the number of the end from which LREM meets it soon, nil when it is not seen.
local function end_of_list(limit)
  if call('LPOS', list, id, 'MAXLEN', limit) then return 1 end
  if call('LPOS', list, id, 'RANK', -1, 'MAXLEN', limit) then return -1 end
end

local to, score = tonumber(new), call('ZSCORE', zset, id)
if not call('ZSCORE', scheduled, id) then
  local near = end_of_list(tonumber(scan_limit))
  if not score and not near then return call('LLEN', list) > tonumber(scan_limit) and 'deep' or 'elsewhere' end
  if to == LIST_PRIORITY then
    if score then call('ZREM', zset, id) end
    if not near then call('LPUSH', list, id) end
  elseif near or tonumber(score) ~= to then
    if near then call('LREM', list, near, id) else call('ZREM', zset, id) end
    call('ZADD', zset, to, id)
  end
end
call('HSET', key, 'priority', new)
return 'done'
