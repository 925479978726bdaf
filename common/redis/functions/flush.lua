-- ---- a call that is over: indexed, flushed, forgotten ----

-- rf_reap: a call whose lease has lapsed is ended for the worker that died (epoch + 1, so that it
-- cannot append if it was only asleep), or for the carrier that never streamed.
-- KEYS session, writes, live, ended
-- ARGV sid, lease (the deadline the reaper saw)
-- -> REAPED reason | ALIVE
local function rf_reap(keys, args)
  local session, writes, live, ended = keys[1], keys[2], keys[3], keys[4]
  local now = now_ms()
  local lease = redis.call('ZSCORE', live, args[1])
  if not lease or lease ~= args[2] or tonumber(lease) > now then return { 'ALIVE' } end
  local reason = 'never_connected'
  if field(session, 'phase') == 'live' then
    reason = 'worker_lost'
    local last_epoch, last_seq = last_id(writes)
    local epoch = math.max(number_field(session, 'epoch', 0), last_epoch) + 1
    redis.call('XADD', writes, int(epoch) .. '-' .. int(last_seq + 1), 'type', 'call_end', 'by', 'flusher',
      'at', int(now), 'reason', reason, 'metrics', '{}')
    redis.call('HSET', session, 'epoch', int(epoch), 'last_writes', int(epoch) .. '-' .. int(last_seq + 1))
  end
  if field(session, 'phase') ~= 'ended' then
    redis.call('HSET', session, 'phase', 'ended', 'reason', reason, 'ended_ms', int(now))
  end
  index_ended(session, ended, live, args[1], 'reap')
  return { 'REAPED', reason }
end
register('rf_reap', rf_reap, { 'allow-oom' })

-- rf_dead: entries Postgres refuses for good, each kept once. Called before the commit that moves
-- past them: after a crash in between they come again, and are known by the marks in the session.
-- KEYS session, dead
-- ARGV sid, then for each entry: stream, id, type, sqlstate, message, entry (JSON)
-- -> DEAD count (of the ones that were new)
local function rf_dead(keys, args)
  local session, dead = keys[1], keys[2]
  local new = 0
  for i = 2, #args, 6 do
    if redis.call('HSETNX', session, 'dead:' .. args[i] .. ':' .. args[i + 1], '1') == 1 then
      redis.call('XADD', dead, '*', 'call_sid', args[1], 'stream', args[i], 'entry_id', args[i + 1],
        'type', args[i + 2], 'sqlstate', args[i + 3], 'message', args[i + 4], 'entry', args[i + 5])
      new = new + 1
    end
  end
  return { 'DEAD', new }
end
register('rf_dead', rf_dead, { 'allow-oom' })

-- rf_doubt: Postgres failed strangely on a call, by itself. What it fails on for all alike is not counted.
-- KEYS session
-- ARGV sid, entry_id (of the index)
-- -> DOUBTED count (so often, since the call was put on the index)
local function rf_doubt(keys, args)
  local count = number_field(keys[1], 'doubts:' .. args[2], 0) + 1
  redis.call('HSET', keys[1], 'doubts:' .. args[2], int(count))
  return { 'DOUBTED', int(count) }
end
register('rf_doubt', rf_doubt, { 'allow-oom' })

-- rf_replay: a parked call goes back on the index, and its letter off the dead stream.
-- KEYS session, ended, dead
-- ARGV sid, letter (its id), entry_id (of the index, that was parked)
-- -> REPLAYED | GONE (there is no such letter any more)
local function rf_replay(keys, args)
  local session, ended, dead = keys[1], keys[2], keys[3]
  if redis.call('XDEL', dead, args[2]) == 0 then return { 'GONE' } end
  redis.call('HDEL', session, 'dead:call:' .. args[3], 'doubts:' .. args[3])
  index(session, ended, args[1], 'replay')
  return { 'REPLAYED' }
end
register('rf_replay', rf_replay, { 'allow-oom' })

-- Whether the stream holds an entry above this id. What was once there and was deleted does not count.
local function has_above(stream, id)
  if id == '' then id = '0-0' end
  return #redis.call('XRANGE', stream, '(' .. id, '+', 'COUNT', 1) > 0
end

-- seq of a write's id; it counts over all epochs.
local function seq_of(id) return tonumber(string.match(id or '', '-(%d+)$') or 0) end

-- rf_done: what the flusher says after its commit, of several calls of one partition. Entries that came
-- meanwhile put a call back on the index.
-- KEYS ended, flushed, live, then for each call: session, writes, events
-- ARGV retention_ms, final_wait_ms (the retention of a call without a final status), then for each call:
--      sid, entry_id, writes_id, events_id (the last ids read, which are in Postgres now)
-- -> for each call: DONE | MORE | LACKS (done, but entries at the end of its writes were deleted by hand; said once)
local function rf_done(keys, args)
  local ended, flushed, live = keys[1], keys[2], keys[3]
  local now, entries, answer = now_ms(), {}, {}
  for i = 3, #args, 4 do entries[#entries + 1] = args[i + 1] end
  redis.call('XACK', ended, 'flusher', unpack(entries))
  redis.call('XDEL', ended, unpack(entries))
  for n = 1, #entries do
    local session, writes, events = keys[3 * n + 1], keys[3 * n + 2], keys[3 * n + 3]
    local sid, writes_id, events_id = args[4 * n - 1], args[4 * n + 1], args[4 * n + 2]
    local known = redis.call('HMGET', session, 'v', 'final', 'last_writes', 'flushed_writes')
    local lacks = seq_of(known[3]) > math.max(seq_of(writes_id), seq_of(known[4]))
    if known[1] then
      redis.call('HSET', session, 'flushed_writes', lacks and known[3] or writes_id, 'flushed_events', events_id)
    end
    if has_above(writes, writes_id) or has_above(events, events_id) then
      if not redis.call('ZSCORE', live, sid) then
        index(session, ended, sid, 'more')
      end
      answer[n] = 'MORE'
    else
      local wait = known[2] == '1' and args[1] or args[2]
      redis.call('ZADD', flushed, int(now + wait), sid)
      answer[n] = lacks and 'LACKS' or 'DONE'
    end
  end
  return answer
end
register('rf_done', rf_done, { 'allow-oom' })

-- rf_purge: a flushed call whose retention has passed leaves Redis, if nothing came meanwhile.
-- KEYS context, session, writes, events, live, ended, flushed
-- ARGV sid
-- -> PURGED | KEPT
local function rf_purge(keys, args)
  local context, session, writes, events = keys[1], keys[2], keys[3], keys[4]
  local live, ended, flushed = keys[5], keys[6], keys[7]
  local due = redis.call('ZSCORE', flushed, args[1])
  if not due or tonumber(due) > now_ms() then return { 'KEPT' } end
  redis.call('ZREM', flushed, args[1])
  if redis.call('ZSCORE', live, args[1]) then return { 'KEPT' } end
  if has_above(writes, field(session, 'flushed_writes')) or has_above(events, field(session, 'flushed_events')) then
    index(session, ended, args[1], 'more')
    return { 'KEPT' }
  end
  redis.call('UNLINK', context, session, writes, events)
  return { 'PURGED' }
end
register('rf_purge', rf_purge, { 'allow-oom' })

-- rf_find: a call that is over, has entries that are not flushed, and is not on the index: somebody removed its
-- entry. It is put back, unless it was parked (rf_dead).
-- KEYS session, writes, events, live, ended
-- ARGV sid
-- -> FOUND | FINE
local function rf_find(keys, args)
  local session, ended = keys[1], keys[5]
  local s = redis.call('HMGET', session, 'phase', 'indexed', 'flushed_writes', 'flushed_events')
  if s[1] ~= 'ended' or not s[2] or redis.call('ZSCORE', keys[4], args[1]) then return { 'FINE' } end
  if not has_above(keys[2], s[3] or '') and not has_above(keys[3], s[4] or '') then return { 'FINE' } end
  if #redis.call('XRANGE', ended, s[2], s[2]) > 0 then return { 'FINE' } end
  if redis.call('HEXISTS', session, 'dead:call:' .. s[2]) == 1 then return { 'FINE' } end
  index(session, ended, args[1], 'found')
  return { 'FOUND' }
end
register('rf_find', rf_find, { 'allow-oom' })

-- rf_forget: takes consumers off the group that hold nothing and were silent for so long. One that holds entries
-- stays until another has claimed them: they would go with it.
-- KEYS ended
-- ARGV idle_ms, consumer ('' for any)
-- -> FORGOT count
local function rf_forget(keys, args)
  local list = redis.pcall('XINFO', 'CONSUMERS', keys[1], 'flusher')
  local count = 0
  if list.err then list = {} end -- no such stream or group
  for _, pairs in ipairs(list) do
    local consumer = {}
    for i = 1, #pairs, 2 do consumer[pairs[i]] = pairs[i + 1] end
    if consumer.pending == 0 and consumer.idle >= tonumber(args[1])
        and (args[2] == '' or args[2] == consumer.name) then
      redis.call('XGROUP', 'DELCONSUMER', keys[1], 'flusher', consumer.name)
      count = count + 1
    end
  end
  return { 'FORGOT', count }
end
register('rf_forget', rf_forget, { 'allow-oom' })
