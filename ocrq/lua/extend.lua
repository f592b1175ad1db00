-- Renew every lease that the given worker processes hold, and find out what they no longer hold.
-- KEYS leases
-- PREFIX data_prefix held_prefix stop_prefix
-- ARGV lease_ms
-- REST slots
-- RETURNS {renewed, {slot, id, "lost" or "cancelled"}...}
local bad = wrong_type(leases, 'zset')
if bad then return bad end
call('ZREM', leases, '') -- a write that is allowed when memory is out, so that the ZADDs behind it are
local deadline, renewed, told = now_ms() + tonumber(lease_ms), 0, {}
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
          told[#told + 1] = { slot, id, 'lost' }
        end
      end
    end
    call('EXPIRE', held, HELD_SECONDS)
  end
  local stop = stop_prefix .. slot
  if type_of(stop) == 'set' then
    for _, id in ipairs(call('SMEMBERS', stop)) do
      if call('ZSCORE', leases, id) then
        call('SREM', stop, id) -- it runs again, so the word to stop was heard
      else
        told[#told + 1] = { slot, id, 'cancelled' }
      end
    end
    if call('TTL', stop) > 60 then call('EXPIRE', stop, 60) end -- and told again: this reply may be lost
  end
end
return { renewed, told }
