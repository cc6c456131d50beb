-- Notes that a ticket is used.
--
-- KEYS[1]  the ticket
-- ARGV     what names this question; for how many milliseconds the ticket is kept
-- Returns 1 for the first use, or else 0. A question may be sent again, when its answer
-- was lost on the way: then it finds its own name, and is still the first.
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return {1}
end
return {redis.call('GET', KEYS[1]) == ARGV[1] and 1 or 0}
