-- What the given worker processes must stop working on, because it was cancelled while they ran it. Each is told once.
-- PREFIX stop_prefix
-- REST slots
-- RETURNS {slot, id}...
local told = {}
for i = REST, #ARGV do
  local stop = stop_prefix .. ARGV[i]
  if type_of(stop) == 'set' then
    for _, id in ipairs(call('SMEMBERS', stop)) do told[#told + 1] = { ARGV[i], id } end
    call('DEL', stop)
  end
end
return told
