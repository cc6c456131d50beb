-- Counts the places of one key that all processes hold; see leased_places.lua.
--
-- KEYS[1]  a hash: for each process, how many it holds and until when that counts, in
--          milliseconds of the server's clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local held = 0
local kept = redis.call('HVALS', KEYS[1])
for i = 1, #kept do
  local count, expires = string.match(kept[i], '^(%d+) (%d+)$')
  if expires and tonumber(expires) > now then
    held = held + tonumber(count)
  end
end
return {held}
