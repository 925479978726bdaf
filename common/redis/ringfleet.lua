#!lua name=ringfleet_@FUNCTIONS_VERSION@
-- The steps of a call's life that must be atomic. Loaded by every program when it connects, unless it is
-- there; plain turns do not come here, they are plain XADDs.
--
-- The names of the library and of its functions end in a digest of this text (see common/CMakeLists.txt): during
-- an upgrade each program calls the functions it was built with, beside those of the other version. What
-- they share is the data. A change that the version before would misread raises FORMAT_VERSION.
--
-- Every function answers an array whose first element is a word in capitals. Times are epoch ms of
-- the Redis server, so that no two machines' clocks are compared. KEYS of one call share a slot.
--
-- Session hash: v, phase (ringing, live, ended), epoch, worker, stream_sid, started_ms, seen_ms,
-- ended_ms, reason, verdict, status, status_seq, final, offered_n, claimed_n, losses, handed_over, token:<n>,
-- indexed, last_writes (id of the entry that ended the journal), flushed_writes, flushed_events,
-- dead:<stream>:<entry id>; of a call that we dialled also
-- provider_call_sid, conversation_id, said (lines of dialogue that webhooks brought).

local FORMAT_VERSION = 1

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Last id of a stream as epoch, seq (0, 0 when there is none), also after its entries are gone.
local function last_id(stream)
  if redis.call('EXISTS', stream) == 0 then return 0, 0, '0-0' end
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      local hi, lo = string.match(info[i + 1], '^(%d+)-(%d+)$')
      return tonumber(hi), tonumber(lo), info[i + 1]
    end
  end
  return 0, 0, '0-0'
end

local function field(session, name)
  return redis.call('HGET', session, name) or ''
end

local function number_field(session, name, default)
  return tonumber(redis.call('HGET', session, name) or default)
end

local function int(n) return string.format('%.0f', n) end

-- The session remembers the entry, so that one that is lost (trimmed, deleted by hand) can be missed: rf_find.
local function index(session, ended, sid, why)
  redis.call('HSET', session, 'indexed', redis.call('XADD', ended, '*', 'call_sid', sid, 'why', why))
end

local function index_ended(session, ended, live, sid, why)
  redis.call('ZREM', live, sid)
  index(session, ended, sid, why)
end

-- rf_open: the call's first webhook. Writes context and session once; a webhook that comes again
-- finds them and gets the first token back. A status that came before it (rf_event) opens nothing.
-- With a fourth key the call's row may be missing in Postgres: a call_open entry will make it.
-- KEYS context, session, live[, events]
-- ARGV sid, token, context_ttl_s, lease_ms, then context fields and values (from, to, direction, opened_ms too)
-- -> OPENED token | EXISTS token source (of the context that is there) claimed_n ('' before the first stream)
local function rf_open(keys, args)
  local context, session, live, events = keys[1], keys[2], keys[3], keys[4]
  if redis.call('HEXISTS', session, 'token:0') == 1 then
    return { 'EXISTS', field(session, 'token:0'), field(context, 'source'), field(session, 'claimed_n') }
  end
  local now = now_ms()
  redis.call('HSET', context, 'v', FORMAT_VERSION, unpack(args, 5))
  redis.call('EXPIRE', context, args[3])
  redis.call('HSET', session, 'v', FORMAT_VERSION, 'phase', 'ringing', 'epoch', 0, 'opened_ms', int(now),
    'token:0', args[2])
  redis.call('ZADD', live, int(now + args[4]), args[1])
  if events then
    redis.call('XADD', events, '*', 'id', 'open', 'at', int(now), 'type', 'call_open', 'by', 'warmer',
      'from', field(context, 'from'), 'to', field(context, 'to'), 'direction', field(context, 'direction'),
      'started_ms', field(context, 'opened_ms'))
  end
  return { 'OPENED', args[2] }
end

-- rf_fill: context that arrived after the deadline replaces what was answered with. It does not
-- bring a context back whose time is over, and does not prolong it.
-- KEYS context
-- ARGV fields and values
-- -> FILLED count | GONE
local function rf_fill(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then return { 'GONE' } end
  redis.call('HSET', keys[1], unpack(args))
  return { 'FILLED', #args / 2 }
end

-- rf_keep: the last good snapshot of a business, in place of the one before.
-- KEYS business
-- ARGV ttl_s, fields and values
-- -> KEPT
local function rf_keep(keys, args)
  redis.call('DEL', keys[1])
  redis.call('HSET', keys[1], 'kept_ms', int(now_ms()), unpack(args, 2))
  redis.call('EXPIRE', keys[1], args[1])
  return { 'KEPT' }
end

-- rf_dial: a call is about to be dialled: rf_open before there is anybody to stream to. Its token is made when
-- somebody answers (rf_after with n = 0). A later attempt at the same call writes the context anew.
-- KEYS context, session, live
-- ARGV sid, context_ttl_s, lease_ms, then context fields and values
-- -> DIALLING | ANSWERED (it has been answered, or is over: nothing was changed)
local function rf_dial(keys, args)
  local context, session, live = keys[1], keys[2], keys[3]
  if redis.call('HEXISTS', session, 'token:0') == 1 or field(session, 'phase') == 'ended' then
    return { 'ANSWERED' }
  end
  local now = now_ms()
  redis.call('HSET', context, unpack(args, 4))
  redis.call('EXPIRE', context, args[2])
  redis.call('HSET', session, 'v', FORMAT_VERSION, 'phase', 'ringing', 'epoch', 0, 'opened_ms', int(now))
  redis.call('ZADD', live, int(now + args[3]), args[1])
  return { 'DIALLING' }
end

-- Streams that a worker had and lost; one it handed over (handed_over is its epoch) is none.
local function losses(session)
  local lost = number_field(session, 'losses', 0)
  if number_field(session, 'claimed_n', -1) >= 0 and field(session, 'handed_over') ~= field(session, 'epoch') then
    lost = lost + 1
  end
  return lost
end

-- rf_after: the carrier asks what comes after stream n-1.
-- KEYS session, live
-- ARGV sid, n, token, lease_ms
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
    redis.call('HSET', session, 'offered_n', args[2])
    redis.call('ZADD', live, 'GT', int(now_ms() + args[4]), args[1])
  end
  local misses = math.max(0, args[2] - 1 - number_field(session, 'claimed_n', -1))
  return { 'RESUME', field(session, name), int(losses(session)), int(misses) }
end

-- rf_claim: a worker takes the call for one stream. The owner entry it appends is the fence: an
-- older epoch's ids are below it from here on.
-- KEYS context, session, writes, live
-- ARGV sid, n, token, worker, stream_sid, lease_ms, data (JSON for the owner entry)
-- -> UNKNOWN | NEWER format (a call of a newer version: for a newer worker) | BADTOKEN | REPLAYED | OVER
--  | CLAIMED epoch seq now_ms {context fields and values} {journal entries, if there was an epoch before}
local function rf_claim(keys, args)
  local context, session, writes, live = keys[1], keys[2], keys[3], keys[4]
  if redis.call('EXISTS', session) == 0 then return { 'UNKNOWN' } end
  if number_field(session, 'v', FORMAT_VERSION) > FORMAT_VERSION then return { 'NEWER', field(session, 'v') } end
  if field(session, 'token:' .. args[2]) ~= args[3] then return { 'BADTOKEN' } end
  if number_field(session, 'claimed_n', -1) >= tonumber(args[2]) then return { 'REPLAYED' } end
  if field(session, 'final') == '1' or field(session, 'verdict') ~= '' then return { 'OVER' } end
  local now = now_ms()
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

-- rf_reclaim: the owner of a call was cut off from Redis, or asleep, for so long that the call was ended
-- for it (rf_reap). Nobody has claimed it since: it goes on where it is. Asking again is harmless.
-- KEYS session, writes, live
-- ARGV sid, epoch (the owner's), worker, stream_sid, lease_ms
-- -> FENCED epoch | RECLAIMED epoch seq kept (last seq that was written at the owner's epoch)
local function rf_reclaim(keys, args)
  local session, writes, live = keys[1], keys[2], keys[3]
  if field(session, 'worker') ~= args[3] or field(session, 'stream_sid') ~= args[4] then
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
  local function add(id, ...)
    seq, added, known[id] = seq + 1, added + 1, true
    redis.call('XADD', writes, int(epoch) .. '-' .. int(seq), ...)
  end
  while at <= #args do
    local id, past = args[at], at + 3 + args[at + 2]
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
    add(args[4], 'type', 'call_end', 'by', 'worker', 'at', int(now_ms()), 'reason', args[5], 'metrics', args[7],
      'spooled', args[4])
    redis.call('HSET', session, 'phase', 'ended', 'reason', args[5], 'verdict', args[6], 'ended_ms', int(now_ms()))
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

-- rf_event: what a webhook said. Deduplicated by the carrier's own id. A status moves only forward
-- by its sequence, and a terminal one is final.
-- KEYS session, events, live, ended
-- ARGV sid, id, final (0|1), status ('' if the event is none), status_seq, then the entry's fields
-- -> ADDED | DUPLICATE
local function rf_event(keys, args)
  local session, events, live, ended = keys[1], keys[2], keys[3], keys[4]
  for _, entry in ipairs(redis.call('XRANGE', events, '-', '+')) do
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'id' and entry[2][i + 1] == args[2] then return { 'DUPLICATE' } end
    end
  end
  local entry = { 'id', args[2], 'at', int(now_ms()) }
  for i = 6, #args do entry[#entry + 1] = args[i] end
  redis.call('XADD', events, '*', unpack(entry))
  if args[4] ~= '' and field(session, 'final') ~= '1'
      and (args[3] == '1' or tonumber(args[5]) > number_field(session, 'status_seq', -1)) then
    redis.call('HSET', session, 'v', FORMAT_VERSION, 'status', args[4], 'status_seq', args[5], 'final', args[3])
  end
  -- While a worker carries the call its own end, or the reaper, hands the call over. The reaper need not wait if
  -- none has taken the stream that was offered last.
  local phase = field(session, 'phase')
  if phase ~= 'live' and (phase == 'ended' or phase == '' or field(session, 'final') == '1') then
    redis.call('HSET', session, 'v', FORMAT_VERSION, 'phase', 'ended')
    index_ended(session, ended, live, args[1], 'event')
  end
  if phase == 'live' and field(session, 'final') == '1'
      and number_field(session, 'offered_n', 0) > number_field(session, 'claimed_n', -1) then
    redis.call('ZADD', live, 'XX', 'LT', int(now_ms()), args[1])
  end
  return { 'ADDED' }
end

-- rf_link: the ids by which others know a call that we dialled. Known once, they stay.
-- KEYS session, events, live, ended
-- ARGV sid, provider_call_sid, conversation_id ('': not known yet)
-- -> ADDED | DUPLICATE
local function rf_link(keys, args)
  for i, name in ipairs({ 'provider_call_sid', 'conversation_id' }) do
    if args[i + 1] ~= '' and field(keys[1], 'phase') ~= '' then redis.call('HSETNX', keys[1], name, args[i + 1]) end
  end
  return rf_event(keys, { args[1], 'link:' .. args[2] .. ':' .. args[3], '0', '', '', 'type', 'call_link', 'by',
    'warmer', 'conversation_id', args[3], 'provider_call_sid', args[2] })
end

-- What stands in the way of a webhook about a call: UNKNOWN, UNLINKED status (the provider has not taken the call, or
-- it failed), or nothing. It may know the conversation before the provider's API has answered us.
local function obstacle(keys, sid, conversation_id)
  if redis.call('EXISTS', keys[1]) == 0 then return { 'UNKNOWN' } end
  if field(keys[1], 'conversation_id') ~= '' then return nil end
  if conversation_id == '' then return { 'UNLINKED', field(keys[1], 'status') } end
  rf_link(keys, { sid, '', conversation_id })
  return nil
end

-- rf_said: a line of dialogue of a call whose media a provider carries. They are counted without a gap.
-- KEYS session, events, live, ended
-- ARGV sid, conversation_id, id ('': none), speaker, message
-- -> SAID n | AGAIN n | UNKNOWN | UNLINKED status
local function rf_said(keys, args)
  local session, events = keys[1], keys[2]
  local wrong = obstacle(keys, args[1], args[2])
  if wrong then return wrong end
  local id = args[3] ~= '' and 'line:' .. args[3]
  for _, entry in ipairs(id and redis.call('XRANGE', events, '-', '+') or {}) do
    local known = {}
    for i = 1, #entry[2], 2 do known[entry[2][i]] = entry[2][i + 1] end
    if known.id == id then return { 'AGAIN', tonumber(known.n) } end
  end
  local n = redis.call('HINCRBY', session, 'said', 1)
  rf_event(keys, { args[1], id or 'line:' .. n .. ':', '0', '', '', 'type', 'turn', 'by', 'warmer', 'n', int(n),
    'speaker', args[4], 'message', args[5] })
  return { 'SAID', n }
end

-- rf_told: what a provider says of a conversation that is over. Where a worker carried the media, or the lines came
-- one by one, what was spoken is there already. A call that has left Redis is opened anew, if Postgres knows it.
-- KEYS session, events, live, ended
-- ARGV sid, conversation_id, status, duration, reason, entries (JSON: [[type, field, value, ...], ...]),
--      known ('': nobody has asked Postgres; known: the call is there; spoken: and what was said in it)
-- -> KEPT | DUPLICATE | UNKNOWN
local function rf_told(keys, args)
  local session, events = keys[1], keys[2]
  local gone = redis.call('EXISTS', session) == 0
  if gone and args[7] == '' then return { 'UNKNOWN' } end
  if redis.call('HSETNX', session, 'told:' .. args[2], '1') == 0 then return { 'DUPLICATE' } end
  local ours = number_field(session, 'epoch', 0) > 0
  local spoken = ours or number_field(session, 'said', 0) > 0 or args[7] == 'spoken'
  for i, entry in ipairs(cjson.decode(args[6])) do
    if entry[1] ~= 'turn' or not spoken then
      redis.call('XADD', events, '*', 'id', 'told:' .. args[2] .. ':' .. i, 'at', int(now_ms()), 'type', entry[1],
        'by', 'warmer', unpack(entry, 2))
    end
  end
  if ours then -- its status is the carrier's word
    if field(session, 'phase') == 'ended' then index(session, keys[4], args[1], 'told') end
  else
    rf_event(keys, { args[1], 'told:' .. args[2], '1', args[3], '-1', 'type', 'call_status', 'by', 'warmer', 'status',
      args[3], 'duration', args[4], 'sequence', '', 'reason', args[5] })
  end
  return { 'KEPT' }
end

-- rf_lookup: a call by its sid, for a tool of a provider that carries its media.
-- KEYS session, events, live, ended, context
-- ARGV sid, conversation_id
-- -> UNKNOWN | UNLINKED status | FOUND conversation_id {context fields and values} {speaker, message, ...}
local function rf_lookup(keys, args)
  local wrong = obstacle(keys, args[1], args[2])
  if wrong then return wrong end
  local lines = {}
  for _, entry in ipairs(redis.call('XRANGE', keys[2], '-', '+')) do
    local known = {}
    for i = 1, #entry[2], 2 do known[entry[2][i]] = entry[2][i + 1] end
    if known.type == 'turn' then
      lines[#lines + 1] = known.speaker
      lines[#lines + 1] = known.message
    end
  end
  return { 'FOUND', field(keys[1], 'conversation_id'), redis.call('HGETALL', keys[5]), lines }
end

-- rf_state: how a call goes. Its reason is that of its status, else why the media side ended.
-- KEYS context, session, events
-- -> UNKNOWN | STATE phase status direction conversation_id provider_call_sid reason duration said
local function rf_state(keys)
  local session = keys[2]
  if redis.call('EXISTS', session) == 0 then return { 'UNKNOWN' } end
  local reason, duration = '', ''
  for _, entry in ipairs(redis.call('XRANGE', keys[3], '-', '+')) do
    local known = {}
    for i = 1, #entry[2], 2 do known[entry[2][i]] = entry[2][i + 1] end
    if known.type == 'call_status' then
      reason = (known.reason or '') ~= '' and known.reason or reason
      duration = (known.duration or '') ~= '' and known.duration or duration
    end
  end
  if reason == '' then reason = field(session, 'reason') end
  return { 'STATE', field(session, 'phase'), field(session, 'status'), field(keys[1], 'direction'),
    field(session, 'conversation_id'), field(session, 'provider_call_sid'), reason, duration, field(session, 'said') }
end

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

-- ---- calls to be dialled ----
--
-- The queue is the fleet's, so its keys share one slot:
--   queue   sorted set: call_sid by the time of its next attempt, or of the look at an attempt without an answer
--   jobs    hash: call_sid to a JSON object, what an attempt needs to know; until the call is over
--   active  sorted set: calls that take a place of their business, by the time of the next look at them
--   busy    hash: places taken, by business
--   rate    hash: when the next call may be dialled, by account

local BUSY_WAIT_MS, TAKE_SCAN = 500, 50

local function free_place(jobs, active, busy, sid)
  if redis.call('ZREM', active, sid) == 0 then return end
  local job = redis.call('HGET', jobs, sid)
  local business = job and cjson.decode(job).business_id or ''
  if redis.call('HINCRBY', busy, business, -1) <= 0 then redis.call('HDEL', busy, business) end
end

local function change_job(jobs, sid, text, changes)
  local job = cjson.decode(text)
  for name, value in pairs(changes) do job[name] = value end
  redis.call('HSET', jobs, sid, cjson.encode(job))
end

-- rf_once: a request with an Idempotency-Key. The first one with it gets NEW; one that comes again after that one
-- was lost gets AGAIN, with the stamp of the first, from which it makes the same call_sids.
-- KEYS key
-- ARGV digest (of the request), lock_ms, ttl_s, stamp
-- -> NEW stamp | AGAIN stamp | BUSY | DONE code answer | OTHER (another request came with this key)
local function rf_once(keys, args)
  local known = redis.call('HMGET', keys[1], 'digest', 'stamp', 'until', 'code', 'answer')
  local now = now_ms()
  if known[1] and known[1] ~= args[1] then return { 'OTHER' } end
  if known[5] then return { 'DONE', known[4], known[5] } end
  if known[1] and tonumber(known[3]) > now then return { 'BUSY' } end
  redis.call('HSET', keys[1], 'digest', args[1], 'stamp', known[2] or args[4], 'until', int(now + args[2]))
  redis.call('EXPIRE', keys[1], args[3])
  return { known[1] and 'AGAIN' or 'NEW', known[2] or args[4] }
end

-- rf_once_done: its answer; without one the request may be made again at once.
-- KEYS key
-- ARGV digest, code, answer ('': none)
-- -> KEPT | GONE
local function rf_once_done(keys, args)
  if redis.call('HGET', keys[1], 'digest') ~= args[1] then return { 'GONE' } end
  redis.call('HSET', keys[1], 'until', 0)
  if args[3] ~= '' then redis.call('HSET', keys[1], 'code', args[2], 'answer', args[3]) end
  return { 'KEPT' }
end

-- rf_enqueue: a call to be dialled. The same call twice is one.
-- KEYS queue, jobs
-- ARGV sid, due_ms (the past: now), job (JSON)
-- -> QUEUED | EXISTS
local function rf_enqueue(keys, args)
  if redis.call('HSETNX', keys[2], args[1], args[3]) == 0 then return { 'EXISTS' } end
  redis.call('ZADD', keys[1], args[2], args[1])
  return { 'QUEUED' }
end

-- rf_watch: a call that came to a number of a provider's own. It takes no place of a business; it is looked at until it
-- is over, should nothing be heard of it.
-- KEYS jobs, active
-- ARGV sid, look_ms, job (JSON, without a business_id)
-- -> WATCHED | EXISTS
local function rf_watch(keys, args)
  if redis.call('HSETNX', keys[1], args[1], args[3]) == 0 then return { 'EXISTS' } end
  redis.call('ZADD', keys[2], int(now_ms() + args[2]), args[1])
  return { 'WATCHED' }
end

-- rf_job: what the queue has of a call.
-- KEYS queue, jobs
-- ARGV sid
-- -> NONE | JOB due_ms (0: it has been dialled) job
local function rf_job(keys, args)
  local text = redis.call('HGET', keys[2], args[1])
  if not text then return { 'NONE' } end
  return { 'JOB', int(redis.call('ZSCORE', keys[1], args[1]) or 0), text }
end

-- rf_take: what is to be done next. A call that is handed out to be dialled is marked (asked): should its warmer
-- die, the next one looks first whether it was dialled. So far nobody else gets it for lease_ms.
-- KEYS queue, jobs, active, busy, rate
-- ARGV lease_ms, interval_ms (between two calls of an account)
-- -> DIAL sid job (as it was before it was marked) | LOOK sid job (dialled, and not heard of for long)
--  | LATER ms
local function rf_take(keys, args)
  local queue, jobs, active, busy, rate = keys[1], keys[2], keys[3], keys[4], keys[5]
  local now = now_ms()
  local lease, wait = int(now + args[1]), 1000
  for _, sid in ipairs(redis.call('ZRANGEBYSCORE', active, '-inf', int(now), 'LIMIT', 0, TAKE_SCAN)) do
    local text = redis.call('HGET', jobs, sid)
    if not text then
      free_place(jobs, active, busy, sid)
    else
      redis.call('ZADD', active, lease, sid)
      if not redis.call('ZSCORE', queue, sid) then return { 'LOOK', sid, text } end
    end
  end
  for _, sid in ipairs(redis.call('ZRANGEBYSCORE', queue, '-inf', int(now), 'LIMIT', 0, TAKE_SCAN)) do
    local text = redis.call('HGET', jobs, sid)
    local job = text and cjson.decode(text)
    local held = redis.call('ZSCORE', active, sid)
    local free_ms = job and tonumber(redis.call('HGET', rate, job.carrier) or 0) or 0
    if not job then
      redis.call('ZREM', queue, sid)
    elseif not held and tonumber(redis.call('HGET', busy, job.business_id) or 0) >= tonumber(job.max_calls) then
      redis.call('ZADD', queue, int(now + BUSY_WAIT_MS), sid)
    elseif job.asked or free_ms <= now then
      if not job.asked then redis.call('HSET', rate, job.carrier, int(math.max(free_ms, now) + args[2])) end
      if not held then redis.call('HINCRBY', busy, job.business_id, 1) end
      redis.call('ZADD', active, lease, sid)
      redis.call('ZADD', queue, lease, sid)
      if not job.asked then change_job(jobs, sid, text, { asked = int(now) }) end
      return { 'DIAL', sid, text }
    else
      wait = math.min(wait, free_ms - now)
    end
  end
  local next = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
  if next[2] and tonumber(next[2]) > now then wait = math.min(wait, tonumber(next[2]) - now) end
  return { 'LATER', int(wait) }
end

-- rf_back: an attempt that came to nothing yet; the call is taken up again later.
-- KEYS queue, jobs, active, busy
-- ARGV sid, delay_ms, changes to the job (JSON; null removes), keep ('1': its place stays taken)
-- -> BACK | GONE (it was dialled after all, or is over)
local function rf_back(keys, args)
  local queue, jobs, active, busy = keys[1], keys[2], keys[3], keys[4]
  local text = redis.call('HGET', jobs, args[1])
  if not text or not redis.call('ZSCORE', queue, args[1]) then return { 'GONE' } end
  if args[4] ~= '1' then free_place(jobs, active, busy, args[1]) end
  local changes = cjson.decode(args[3])
  for name, value in pairs(changes) do
    if value == cjson.null then changes[name] = false end -- as good as none
  end
  change_job(jobs, args[1], text, changes)
  redis.call('ZADD', queue, int(now_ms() + args[2]), args[1])
  return { 'BACK' }
end

-- rf_settle: the call was dialled. It keeps its place until it is over, and is looked at in between.
-- KEYS queue, jobs, active
-- ARGV sid, provider_call_sid, conversation_id ('': not known), look_ms
-- -> SETTLED | GONE
local function rf_settle(keys, args)
  local text = redis.call('HGET', keys[2], args[1])
  if not text then return { 'GONE' } end
  redis.call('ZREM', keys[1], args[1])
  redis.call('ZADD', keys[3], 'XX', int(now_ms() + args[4]), args[1])
  local ids = {}
  if args[2] ~= '' then ids.provider_call_sid = args[2] end
  if args[3] ~= '' then ids.conversation_id = args[3] end
  change_job(keys[2], args[1], text, ids)
  return { 'SETTLED' }
end

-- rf_over: the call has ended, or will not be dialled.
-- KEYS queue, jobs, active, busy
-- ARGV sid
-- -> OVER count (0: it was already)
local function rf_over(keys, args)
  redis.call('ZREM', keys[1], args[1])
  free_place(keys[2], keys[3], keys[4], args[1])
  return { 'OVER', redis.call('HDEL', keys[2], args[1]) }
end

-- rf_version: whether this library is there.
-- -> VERSION format
local function rf_version() return { 'VERSION', FORMAT_VERSION } end

local function register(name, callback, flags)
  redis.register_function { function_name = name .. '_@FUNCTIONS_VERSION@', callback = callback, flags = flags }
end

register('rf_open', rf_open, {})
register('rf_fill', rf_fill, {})
register('rf_keep', rf_keep, {})
register('rf_claim', rf_claim, {})
register('rf_reclaim', rf_reclaim, {})
register('rf_late', rf_late, {})
register('rf_hold', rf_hold, {})
register('rf_dial', rf_dial, {})
register('rf_link', rf_link, {})
register('rf_once', rf_once, {})
register('rf_said', rf_said, {})
register('rf_told', rf_told, {})
register('rf_lookup', rf_lookup, {})
register('rf_state', rf_state, { 'no-writes', 'allow-oom' })
register('rf_enqueue', rf_enqueue, {})
register('rf_watch', rf_watch, {})
register('rf_job', rf_job, { 'no-writes', 'allow-oom' })
register('rf_take', rf_take, {})
-- What ends calls and drains must work when memory is full; it frees more than it adds. rf_after too: the
-- verdict of a call that ends is read through it.
register('rf_release', rf_release, { 'allow-oom' })
register('rf_after', rf_after, { 'allow-oom' })
register('rf_end', rf_end, { 'allow-oom' })
register('rf_event', rf_event, { 'allow-oom' })
register('rf_reap', rf_reap, { 'allow-oom' })
register('rf_dead', rf_dead, { 'allow-oom' })
register('rf_done', rf_done, { 'allow-oom' })
register('rf_purge', rf_purge, { 'allow-oom' })
register('rf_find', rf_find, { 'allow-oom' })
register('rf_forget', rf_forget, { 'allow-oom' })
register('rf_once_done', rf_once_done, { 'allow-oom' })
register('rf_back', rf_back, { 'allow-oom' })
register('rf_settle', rf_settle, { 'allow-oom' })
register('rf_over', rf_over, { 'allow-oom' })
register('rf_version', rf_version, { 'no-writes', 'allow-oom' })
