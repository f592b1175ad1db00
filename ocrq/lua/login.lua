-- Open a session: its JSON for a lifetime, its entry in the index of its user, its user among the active ones.
-- KEYS session active_users users_active
-- PREFIX user_sessions_prefix
-- ARGV head user stored unit ttl_ms usable_ms
-- RETURNS server time (unix ms)
local index = user_sessions_prefix .. user
local bad = wrong_type(session, 'string') or wrong_type(active_users, 'zset') or wrong_type(index, 'zset')
if bad then return bad end
local now, time = clock(unit)
call('SET', session, head .. '"created_at":' .. time .. ',"last_activity":' .. time .. '}', 'PX', ttl_ms)
note_session(index, active_users, user, stored, now + tonumber(usable_ms), now)
count_users(active_users, users_active, now)
return now
