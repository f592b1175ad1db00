-- Whether a claim from these queues may find anything. An idle worker asks this with its doorbell armed, so it declares
-- those keys alone whose change is to wake it, and reads them all: Redis 7.0 rings for declared keys, others for read ones.
-- KEYS paused
-- RESTKEYS per lane: list, sorted set
-- REST per lane: queue name
-- RETURNS 1 or 0
local halted, found = try('SMEMBERS', paused), 0
for i = 1, #halted do halted[halted[i]] = true end
for i = RESTKEYS, #KEYS, 2 do
  local listed, scored = try('LLEN', KEYS[i]), try('ZCARD', KEYS[i + 1]) -- numbers, or errors, which the claim explains
  local is_halted = halted['queue:' .. ARGV[REST + (i - RESTKEYS) / 2]]
  if halted.err or not is_halted and (listed ~= 0 or scored ~= 0) then found = 1 end
end
return found
