-- Take sessions that other programs have made or used into our indexes.
-- KEYS active_users users_active
-- PREFIX session_prefix user_sessions_prefix
-- REST per session: user, what its key ends in, until when it may be used (unix ms)
-- RETURNS number of active users
local bad = wrong_type(active_users, 'zset')
if bad then return bad end
local now = clock()
call('ZREM', active_users, '') -- see extend
for i = REST, #ARGV, 3 do
  local user, stored = ARGV[i], ARGV[i + 1]
  local index = user_sessions_prefix .. user
  if call('EXISTS', session_prefix .. stored) == 1 and is_index(index) then
    note_session(index, active_users, user, stored, tonumber(ARGV[i + 2]), now)
  end
end
return count_users(active_users, users_active, now)
