-- Settles how many places of one key a process holds.
--
-- KEYS[1]  a hash: for each process, how many it holds and until when that counts, in
--          milliseconds of the server's clock
-- ARGV     the process; how many it holds; how many more it wants; how many all may
--          have together; how long that counts, in milliseconds
-- Returns how many more the process may have. What it holds is not asked about: an old
-- place is never given up.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local process = ARGV[1]
local held = tonumber(ARGV[2])
local wanted = tonumber(ARGV[3])
local cap = tonumber(ARGV[4])
local lease = tonumber(ARGV[5])

local others = 0
local kept = redis.call('HGETALL', KEYS[1])
for i = 1, #kept, 2 do
  if kept[i] ~= process then
    local count, expires = string.match(kept[i + 1], '^(%d+) (%d+)$')
    expires = tonumber(expires)
    -- None is further ahead than a lease, unless the clock went back.
    if not expires or expires <= now or expires > now + lease then
      redis.call('HDEL', KEYS[1], kept[i])
    else
      others = others + tonumber(count)
    end
  end
end

local given = math.max(0, math.min(wanted, cap - others - held))
if held + given > 0 then
  local field = string.format('%d %.0f', held + given, now + lease)
  redis.call('HSET', KEYS[1], process, field)
  redis.call('PEXPIRE', KEYS[1], lease)
else
  redis.call('HDEL', KEYS[1], process)
end
return {given}
