-- ---- what webhooks say of a call, and ask of it ----

-- rf_event: what a webhook said. Deduplicated by the carrier's own id. A status moves only forward
-- by its sequence, and a terminal one is final.
-- KEYS session, events, live, ended
-- ARGV sid, id, final (0|1), status ('' if the event is none), status_seq, then the entry's fields
-- -> ADDED | DUPLICATE
local function rf_event(keys, args)
  local session, events, live, ended = keys[1], keys[2], keys[3], keys[4]
  if has_entry(events, args[2]) then return { 'DUPLICATE' } end
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
register('rf_event', rf_event, { 'allow-oom' })

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
register('rf_link', rf_link, {})

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
register('rf_said', rf_said, {})

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
register('rf_told', rf_told, {})

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
register('rf_lookup', rf_lookup, {})

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
register('rf_state', rf_state, { 'no-writes', 'allow-oom' })
