-- End sessions of one user; where the caller says which JSON it has seen, only while it is that.
-- KEYS active_users users_active
-- PREFIX session_prefix user_sessions_prefix
-- ARGV user
-- REST per session: what its key ends in, its JSON ("": whatever it is)
-- RETURNS per session 1 ended or 0 (it was gone, or is not what the caller has seen)
local index = user_sessions_prefix .. user
local bad = wrong_type(active_users, 'zset') or wrong_type(index, 'zset')
if bad then return bad end
local now, replies = clock(), {}
for i = REST, #ARGV, 2 do
  local key, ended = session_prefix .. ARGV[i], 0
  if ARGV[i + 1] == '' or (type_of(key) == 'string' and call('GET', key) == ARGV[i + 1]) then
    ended = call('DEL', key)
    call('ZREM', index, ARGV[i])
  end
  replies[#replies + 1] = ended
end
settle_user(index, active_users, user, now, session_prefix)
count_users(active_users, users_active, now)
return replies
