-- GCRA for several keys, all or none, on the server's clock, in integer microseconds.
--
-- KEYS   one for each charge; its value is the theoretical arrival time
-- ARGV   the operation, then five numbers for each key:
--        tolerance, ceiling, increment, longest wait, 1 on a dry run or else 0
-- Returns the time, and each key's number as it was before.
--
-- Numbers of this size are exact as doubles, but tostring() would shorten them; as
-- arguments of redis.call they are converted without loss.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local operation = ARGV[1]
local found = {now}
local after = {}
local allowed = true

local function keep(key, tat)
  -- As long as it matters: then the key is as fresh as one that was never there.
  redis.call('SET', key, tat, 'PX', math.ceil((tat - now) / 1000))
end

for i = 1, #KEYS do
  local at = 2 + (i - 1) * 5
  local tolerance = tonumber(ARGV[at])
  local ceiling = tonumber(ARGV[at + 1])
  local increment = tonumber(ARGV[at + 2])
  local wait = tonumber(ARGV[at + 3])
  local dry_run = ARGV[at + 4] == '1'
  local kept = tonumber(redis.call('GET', KEYS[i])) or now
  -- No number is further ahead than that, unless the clock went back or the limit
  -- was lowered.
  local tat = math.max(now, math.min(kept, now + ceiling))
  found[i + 1] = tat
  if operation == 'refund' then
    after[i] = math.max(now, tat - increment)
  elseif tat + increment - tolerance - wait <= now and increment <= tolerance then
    after[i] = tat + increment
  else
    allowed = allowed and dry_run
    if kept > tat and operation == 'take' then
      -- Else who waits as long as told would be told the same again.
      keep(KEYS[i], tat)
    end
  end
  if increment == 0 then
    after[i] = nil -- costs nothing, changes nothing
  end
end

if allowed and operation ~= 'peek' then
  for i = 1, #KEYS do
    if after[i] and after[i] > now then
      keep(KEYS[i], after[i])
    elseif after[i] then
      redis.call('DEL', KEYS[i])
    end
  end
end

return found
