-- What the given worker processes must stop working on, because it was cancelled while they ran it. It is told again for
-- a minute, since a reply may be lost; what was revived meanwhile is not told.
-- RESTKEYS per slot: its stop set, declared since Redis rings the doorbell for declared keys only
-- PREFIX data_prefix
-- REST slots
-- RETURNS {slot, id}...
local told = {}
for i = RESTKEYS, #KEYS do
  local stop, slot = KEYS[i], ARGV[REST + i - RESTKEYS]
  if type_of(stop) == 'set' then
    for _, id in ipairs(call('SMEMBERS', stop)) do
      local key = data_prefix .. id
      if type_of(key) == 'hash' and call('HGET', key, 'status') ~= 'cancelled' then
        call('SREM', stop, id)
      else
        told[#told + 1] = { slot, id }
      end
    end
    if call('TTL', stop) > 60 then call('EXPIRE', stop, 60) end
    type_of(stop) -- our own write ended Valkey's watch over the key: a read renews it
  end
end
return told
