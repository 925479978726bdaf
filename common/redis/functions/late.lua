-- ---- what a worker had to keep on its disk comes back ----

-- Entries of a call that has left Redis: whether Postgres has them cannot be told any more, so people decide. Those
-- that come twice are one to `flusher dead replay`.
local function bury(dead, sid, args, first)
  local count, at = 0, first
  while at <= #args do
    local entry = {}
    for i = at + 3, at + 2 + args[at + 2], 2 do entry[args[i]] = args[i + 1] end
    redis.call('XADD', dead, '*', 'call_sid', sid, 'stream', 'writes', 'entry_id', args[at], 'type', entry.type or '',
      'sqlstate', '', 'message', 'it waited on a worker\'s disk until its call had left Redis',
      'entry', cjson.encode(entry))
    count, at = count + 1, at + 3 + args[at + 2]
  end
  return { 'BURIED', count }
end

-- What the journal has, by the ids under which it came first; when another stream than this one took the call; and whether
-- this one's claim is there: a call that has left Redis may be back, for a webhook that was late, without its journal.
local function witness(writes, stream_sid)
  local known, ours, taken_ms = {}, false, nil
  for _, entry in ipairs(redis.call('XRANGE', writes, '-', '+')) do
    local f = {}
    for i = 1, #entry[2], 2 do f[entry[2][i]] = entry[2][i + 1] end
    known[f.spooled or entry[1]] = true
    if f.v and not taken_ms then -- an owner's entry
      local ok, owner = pcall(cjson.decode, f.data or '')
      local same = ok and type(owner) == 'table' and owner.stream_sid == stream_sid
      if ours and not same then taken_ms = tonumber(f.at) end
      ours = ours or same
    end
  end
  return known, taken_ms, ours
end

-- rf_late: entries that a worker had to keep on disk, when nobody holds the call's journal in memory any more: it was
-- killed, the call is over, or the journal rests until this is done. They follow what is there, at an epoch of their own,
-- which fences whatever is still on its way under an older one; a worker that has the call notices and takes it back
-- (rf_reclaim). An entry is known by the id that it was to have: it comes once, however often it is asked for. What was
-- made after another worker had taken the call does not come at all.
-- KEYS session, writes, live, ended, dead
-- ARGV sid, stream_sid, leaving ('', 'end', 'left'), id of the end ('': none), reason, verdict, metrics,
--      then for each entry: id, made_ms, count, and so many fields and values
-- -> LATE added known refused | BURIED count (the call has left Redis)
local function rf_late(keys, args)
  local session, writes, live, ended = keys[1], keys[2], keys[3], keys[4]
  local known, taken_ms, ours = witness(writes, args[2])
  if not ours then return bury(keys[5], args[1], args, 8) end
  local over = field(session, 'phase') == 'ended'
  local last_epoch, seq = last_id(writes)
  local epoch = math.max(number_field(session, 'epoch', 0), last_epoch) + 1
  local added, again, refused, at = 0, 0, 0, 8
  local now, ended_ms = now_ms(), 0
  if over then ended_ms = number_field(session, 'ended_ms', now) end
  local function add(id, ...)
    seq, added, known[id] = seq + 1, added + 1, true
    redis.call('XADD', writes, int(epoch) .. '-' .. int(seq), ...)
  end
  while at <= #args do
    local id, past = args[at], at + 3 + args[at + 2]
    ended_ms = math.max(ended_ms, tonumber(args[at + 1]))
    if known[id] then
      again = again + 1
    elseif taken_ms and tonumber(args[at + 1]) > taken_ms then
      refused = refused + 1
    else
      local entry = { unpack(args, at + 3, past - 1) }
      entry[#entry + 1], entry[#entry + 2] = 'spooled', id
      add(id, unpack(entry))
    end
    at = past
  end
  local entries, ends = added, args[3] == 'end' and not taken_ms and not known[args[4]]
  if ends then
    ended_ms = over and math.min(ended_ms, now) or now -- not later for having waited on a disk
    add(args[4], 'type', 'call_end', 'by', 'worker', 'at', int(ended_ms), 'reason', args[5], 'metrics', args[7],
      'spooled', args[4])
    redis.call('HSET', session, 'phase', 'ended', 'reason', args[5], 'verdict', args[6], 'ended_ms', int(ended_ms))
  end
  if added > 0 then redis.call('HSET', session, 'epoch', int(epoch)) end
  if args[3] == 'left' and not taken_ms then redis.call('HSET', session, 'handed_over', field(session, 'epoch')) end
  if ends or (over and added > 0) then
    redis.call('HSET', session, 'last_writes', int(epoch) .. '-' .. int(seq))
    if ends then redis.call('ZREM', live, args[1]) end
    index(session, ended, args[1], 'late') -- with a stream offered meanwhile it is live; the end of that one indexes it again
  end
  return { 'LATE', int(entries), int(again), int(refused) }
end
register('rf_late', rf_late, {})
