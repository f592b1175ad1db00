-- Renew every lease that the given worker processes hold, and find out what they no longer hold.
-- KEYS leases
-- PREFIX data_prefix held_prefix
-- ARGV lease_ms
-- REST slots
-- RETURNS {renewed, {slot, id}... of what was lost}
local bad = wrong_type(leases, 'zset')
if bad then return bad end
call('ZREM', leases, '') -- a write that is allowed when memory is out, so that the ZADDs behind it are
local deadline, renewed, lost = clock() + tonumber(lease_ms), 0, {}
for i = REST, #ARGV do
  local slot = ARGV[i]
  local held = held_prefix .. slot
  if type_of(held) == 'hash' then
    for _, its in ipairs(holdings(held)) do
      local key = data_prefix .. its.id
      local now_is = type_of(key) == 'hash' and call('HMGET', key, 'deliveries', 'status') or {}
      if now_is[1] == its.token and now_is[2] == 'processing' and call('ZSCORE', leases, its.id) then
        call('ZADD', leases, 'XX', deadline, its.id)
        renewed = renewed + 1
      else
        call('HDEL', held, its.id)
        lost[#lost + 1] = { slot, its.id }
      end
    end
    call('EXPIRE', held, HELD_SECONDS)
  end
end
return { renewed, lost }
