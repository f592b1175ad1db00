-- Put a loaded value into the cache and end the right to load it. A loader that has lost the right (its time ran out,
-- or the value was set or invalidated meanwhile) changes nothing: what it has read may be out of date.
-- KEYS value loading
-- ARGV token text lifetime_ms
-- RETURNS "done" or "lost"
local bad = wrong_type(value, 'string') or wrong_type(loading, 'string')
if bad then return bad end
if call('GET', loading) ~= token then return 'lost' end
call('DEL', loading)
if text ~= '' then call('SET', value, text, 'PX', lifetime_ms) end -- '': nothing came of it, the next one may try
return 'done'
