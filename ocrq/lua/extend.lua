-- Renew every lease that the given worker processes hold, and find out what they no longer hold.
-- KEYS leases
-- PREFIX data_prefix held_prefix
-- ARGV lease_ms
-- REST slots
-- RETURNS {renewed, {slot, id}... of what was lost}
local bad = wrong_type(leases, 'zset')
if bad then return bad end
call('ZREM', leases, '') -- a write that is allowed when memory is out, so that the ZADDs behind it are
local deadline, renewed, lost = now_ms() + tonumber(lease_ms), 0, {}
for i = REST, #ARGV do
  local slot = ARGV[i]
  local held = held_prefix .. slot
  if type_of(held) == 'hash' then
    local mine = call('HGETALL', held)
    for j = 1, #mine, 2 do
      local id = mine[j]
      if id ~= '' then
        local token = string.match(mine[j + 1], '^(%d+):')
        local key = data_prefix .. id
        local now_is = type_of(key) == 'hash' and call('HMGET', key, 'deliveries', 'status') or {}
        if now_is[1] == token and now_is[2] == 'processing' and call('ZSCORE', leases, id) then
          call('ZADD', leases, 'XX', deadline, id)
          renewed = renewed + 1
        else
          call('HDEL', held, id)
          lost[#lost + 1] = { slot, id }
        end
      end
    end
    call('EXPIRE', held, HELD_SECONDS)
  end
end
return { renewed, lost }
