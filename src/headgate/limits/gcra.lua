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

for i = 1, #KEYS do
  local at = 2 + (i - 1) * 5
  local tolerance = tonumber(ARGV[at])
  local ceiling = tonumber(ARGV[at + 1])
  local increment = tonumber(ARGV[at + 2])
  local wait = tonumber(ARGV[at + 3])
  local dry_run = ARGV[at + 4] == '1'
  local tat = tonumber(redis.call('GET', KEYS[i])) or now
  -- No number is further ahead than that, unless the clock went back or the limit
  -- was lowered.
  tat = math.max(now, math.min(tat, now + ceiling))
  found[i + 1] = tat
  if operation == 'refund' then
    after[i] = math.max(now, tat - increment)
  elseif tat + increment - tolerance - wait <= now and increment <= tolerance then
    after[i] = tat + increment
  else
    after[i] = nil
    allowed = allowed and dry_run
  end
end

if allowed and operation ~= 'peek' then
  for i = 1, #KEYS do
    if after[i] and after[i] > now then
      local milliseconds = math.ceil((after[i] - now) / 1000)
      redis.call('SET', KEYS[i], after[i], 'PX', milliseconds)
    elseif after[i] then
      redis.call('DEL', KEYS[i])
    end
  end
end

return found
