-- ---- times that live calls hold ----

-- rf_hold: a live call takes the time of an appointment, all of it or nothing. Asking again is harmless.
-- KEYS slot of each piece of the time (they share the business as hash tag)
-- ARGV sid, seconds
-- -> HELD | TAKEN
local function rf_hold(keys, args)
  for _, holder in ipairs(redis.call('MGET', unpack(keys))) do
    if holder and holder ~= args[1] then return { 'TAKEN' } end
  end
  for _, key in ipairs(keys) do redis.call('SET', key, args[1], 'EX', args[2]) end
  return { 'HELD' }
end
register('rf_hold', rf_hold, {})

-- rf_release: a call that was over before it learned of its hold gives the time back.
-- KEYS as rf_hold
-- ARGV sid
-- -> RELEASED count
local function rf_release(keys, args)
  local count = 0
  for _, key in ipairs(keys) do
    if redis.call('GET', key) == args[1] then count = count + redis.call('DEL', key) end
  end
  return { 'RELEASED', count }
end
register('rf_release', rf_release, { 'allow-oom' })
