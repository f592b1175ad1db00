-- Use a session: new JSON takes the place of the one it was made from, for another lifetime, and of no other. Without
-- new JSON it only reads.
-- KEYS session active_users users_active
-- PREFIX user_sessions_prefix
-- ARGV old new user stored ttl_ms until_ms
-- RETURNS {"done", "changed" (the JSON is not the old one) or "gone", the JSON as it is now, server time (unix ms)}
local index = user_sessions_prefix .. user
local bad = wrong_type(session, 'string') or wrong_type(active_users, 'zset') or wrong_type(index, 'zset')
if bad then return bad end
local now, current = clock(), call('GET', session)
local verdict = 'gone'
if current then verdict = 'changed' end
if new ~= '' and current == old then
  call('ZREM', active_users, '') -- see extend
  call('SET', session, new, 'PX', ttl_ms)
  if user ~= '' then note_session(index, active_users, user, stored, tonumber(until_ms), now) end
  count_users(active_users, users_active, now)
  verdict, current = 'done', new
end
return { verdict, current or '', now }
