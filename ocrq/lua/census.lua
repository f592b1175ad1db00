-- Bring the count of active users to the truth: time has passed, and other programs end sessions too.
-- KEYS active_users users_active
-- PREFIX session_prefix user_sessions_prefix
-- ARGV only_ours
-- REST users whose sessions are looked at
-- RETURNS number of active users
local bad = wrong_type(active_users, 'zset')
if bad then return bad end
-- Where no session was ever made by ocrq, others may count the users in a way of their own.
if only_ours == '1' and call('EXISTS', active_users) == 0 then return 0 end
local now = clock()
call('ZREM', active_users, '') -- see extend
for i = REST, #ARGV do
  local index = user_sessions_prefix .. ARGV[i]
  if is_index(index) then settle_user(index, active_users, ARGV[i], now, session_prefix) end
end
return count_users(active_users, users_active, now)
