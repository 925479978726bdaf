-- ---- a worker carries the call: offered, claimed, ended ----

-- A worker that has carried a call for so long has not failed because of it: losses before it do not count any more.
local CARRIED_MS = 60000

-- Streams that a worker had and lost, one after the other; one it handed over (handed_over is its epoch) is none.
local function losses(session)
  local before, seen = number_field(session, 'losses', 0), number_field(session, 'seen_ms', 0)
  if number_field(session, 'lost_ms', seen) - seen >= CARRIED_MS then before = 0 end
  if number_field(session, 'claimed_n', -1) < 0 or field(session, 'handed_over') == field(session, 'epoch') then
    return before
  end
  return before + 1
end

-- rf_after: the carrier asks what comes after stream n-1.
-- KEYS session, live
-- ARGV sid, n, token, lease_ms, token_ttl_ms
-- -> UNKNOWN | FINAL status | VERDICT verdict
--  | RESUME token losses misses (the streams before this one that no worker had, since the last one that had)
local function rf_after(keys, args)
  local session, live = keys[1], keys[2]
  if redis.call('EXISTS', session) == 0 then return { 'UNKNOWN' } end
  if field(session, 'final') == '1' then return { 'FINAL', field(session, 'status') } end
  local verdict = field(session, 'verdict')
  if verdict ~= '' then return { 'VERDICT', verdict } end
  local name = 'token:' .. args[2]
  if redis.call('HSETNX', session, name, args[3]) == 1 then
    local now = now_ms()
    redis.call('HSET', session, 'offered_n', args[2], 'until:' .. args[2], int(now + args[5]))
    if number_field(session, 'claimed_n', -1) == args[2] - 1 then redis.call('HSET', session, 'lost_ms', int(now)) end
    redis.call('ZADD', live, 'GT', int(now + args[4]), args[1])
  end
  local misses = math.max(0, args[2] - 1 - number_field(session, 'claimed_n', -1))
  return { 'RESUME', field(session, name), int(losses(session)), int(misses) }
end
register('rf_after', rf_after, { 'allow-oom' })

-- By our clock. A warmer of an older version noted nothing: what it signed is in the token, by its own clock.
local function expired(session, n, token, now)
  local until_ms = redis.call('HGET', session, 'until:' .. n) or string.match(token, '^%d+%.(%d+)%.')
  return until_ms and now > tonumber(until_ms)
end

-- rf_claim: a worker takes the call for one stream. The owner entry it appends is the fence: an
-- older epoch's ids are below it from here on.
-- KEYS context, session, writes, live
-- ARGV sid, n, token, worker, stream_sid, lease_ms, data (JSON for the owner entry)
-- -> UNKNOWN | NEWER format (a call of a newer version: for a newer worker) | BADTOKEN | REPLAYED
--  | EXPIRED | OVER
--  | CLAIMED epoch seq now_ms {context fields and values} {journal entries, if there was an epoch before}
local function rf_claim(keys, args)
  local context, session, writes, live = keys[1], keys[2], keys[3], keys[4]
  if redis.call('EXISTS', session) == 0 then return { 'UNKNOWN' } end
  if number_field(session, 'v', FORMAT_VERSION) > FORMAT_VERSION then return { 'NEWER', field(session, 'v') } end
  if field(session, 'token:' .. args[2]) ~= args[3] then return { 'BADTOKEN' } end
  if number_field(session, 'claimed_n', -1) >= tonumber(args[2]) then return { 'REPLAYED' } end
  local now = now_ms()
  if expired(session, args[2], args[3], now) then return { 'EXPIRED' } end
  if field(session, 'final') == '1' or field(session, 'verdict') ~= '' then return { 'OVER' } end
  local epoch = number_field(session, 'epoch', 0) + 1
  local _, seq = last_id(writes)
  local before = {}
  if seq > 0 then before = redis.call('XRANGE', writes, '-', '+') end
  seq = seq + 1
  redis.call('XADD', writes, int(epoch) .. '-' .. int(seq), 'type', 'callsession_update', 'by', 'worker',
    'at', int(now), 'v', FORMAT_VERSION, 'data', args[7])
  redis.call('HSET', session, 'losses', int(losses(session)), 'epoch', int(epoch), 'phase', 'live', 'worker', args[4],
    'stream_sid', args[5], 'claimed_n', args[2], 'seen_ms', int(now))
  redis.call('HSETNX', session, 'started_ms', int(now))
  redis.call('ZADD', live, int(now + args[6]), args[1])
  return { 'CLAIMED', int(epoch), int(seq), int(now), redis.call('HGETALL', context), before }
end
register('rf_claim', rf_claim, {})

-- rf_reclaim: the owner of a call was cut off from Redis, or asleep, for so long that the call was ended
-- for it (rf_reap). Nobody has claimed it since: it goes on where it is. Asking again is harmless. So does an owner
-- whose epoch is above the one known here: its claim died with a primary before the replica had it.
-- KEYS session, writes, live
-- ARGV sid, epoch (the owner's), worker, stream_sid, lease_ms
-- -> FENCED epoch ("": there is no such call) | RECLAIMED epoch seq kept (last seq that was written at the owner's epoch)
local function rf_reclaim(keys, args)
  local session, writes, live = keys[1], keys[2], keys[3]
  local known = number_field(session, 'epoch', -1)
  if known >= 0 and known < tonumber(args[2]) then
    redis.call('HSET', session, 'worker', args[3], 'stream_sid', args[4], 'claimed_n', number_field(session, 'offered_n', 0))
  elseif field(session, 'worker') ~= args[3] or field(session, 'stream_sid') ~= args[4] then
    return { 'FENCED', field(session, 'epoch') }
  end
  local now = now_ms()
  local last_epoch, last_seq = last_id(writes)
  local kept = redis.call('XREVRANGE', writes, args[2] .. '-18446744073709551615', '-', 'COUNT', 1)
  local kept_seq = kept[1] and string.match(kept[1][1], '-(%d+)$') or '0'
  local epoch = math.max(number_field(session, 'epoch', 0), last_epoch) + 1
  local owner = cjson.encode({ worker = args[3], stream_sid = args[4], reclaimed = true })
  redis.call('XADD', writes, int(epoch) .. '-' .. int(last_seq + 1), 'type', 'callsession_update', 'by', 'worker',
    'at', int(now), 'v', FORMAT_VERSION, 'data', owner)
  redis.call('HSET', session, 'epoch', int(epoch), 'phase', 'live', 'seen_ms', int(now))
  redis.call('HDEL', session, 'reason', 'ended_ms')
  redis.call('ZADD', live, int(now + args[5]), args[1])
  return { 'RECLAIMED', int(epoch), int(last_seq + 1), kept_seq }
end
register('rf_reclaim', rf_reclaim, {})

-- rf_end: the worker's end of the media. Appends call_end and hands the call to the flusher.
-- KEYS session, writes, live, ended
-- ARGV sid, epoch, seq (of the call_end entry), reason, verdict, metrics (JSON)
-- -> ENDED | AGAIN (it was ended before) | FENCED epoch | HOLE last_seq
local function rf_end(keys, args)
  local session, writes, live, ended = keys[1], keys[2], keys[3], keys[4]
  local epoch, seq = tonumber(args[2]), tonumber(args[3])
  local now = now_ms()
  local last_epoch, last_seq = last_id(writes)
  if number_field(session, 'epoch', 0) ~= epoch or last_epoch > epoch then
    return { 'FENCED', field(session, 'epoch') }
  end
  if field(session, 'phase') == 'ended' and last_seq >= seq then return { 'AGAIN' } end
  if last_seq ~= seq - 1 then return { 'HOLE', int(last_seq) } end
  redis.call('XADD', writes, args[2] .. '-' .. args[3], 'type', 'call_end', 'by', 'worker', 'at', int(now),
    'reason', args[4], 'metrics', args[6])
  redis.call('HSET', session, 'phase', 'ended', 'reason', args[4], 'verdict', args[5], 'ended_ms', int(now),
    'last_writes', args[2] .. '-' .. args[3])
  index_ended(session, ended, live, args[1], 'end')
  return { 'ENDED' }
end
register('rf_end', rf_end, { 'allow-oom' })
