-- ---- a call is opened: its context, its session, its place among the live ----

-- rf_open: the call's first webhook, at the moment at which the database is asked: session, place among the live, and
-- the context's key with its life, to which the warmer adds the fields when it has them (HSET, or rf_fill). Until then it has
-- no `source`. A webhook that comes again gets the first token back. A status that came before it (rf_event) opens nothing.
-- KEYS context, session, live
-- ARGV sid, token, context_ttl_s, lease_ms, token_ttl_ms, then context fields and values that are known so early
-- -> OPENED token | EXISTS token source (of the context that is there; '': none yet) claimed_n ('' before the first stream)
local function rf_open(keys, args)
  local context, session, live = keys[1], keys[2], keys[3]
  if redis.call('HEXISTS', session, 'token:0') == 1 then
    return { 'EXISTS', field(session, 'token:0'), field(context, 'source'), field(session, 'claimed_n') }
  end
  local now = now_ms()
  redis.call('HSET', context, 'v', FORMAT_VERSION, unpack(args, 6))
  redis.call('EXPIRE', context, args[3])
  redis.call('HSET', session, 'v', FORMAT_VERSION, 'phase', 'ringing', 'epoch', 0, 'opened_ms', int(now),
    'token:0', args[2], 'until:0', int(now + args[5]))
  redis.call('ZADD', live, int(now + args[4]), args[1])
  return { 'OPENED', args[2] }
end
register('rf_open', rf_open, {})

-- rf_refuse: nobody has the number that was called: what rf_open made for this token goes again. If a webhook has
-- reported meanwhile, that stays, and is flushed as of a call that was never opened.
-- KEYS context, session, events, live, ended
-- ARGV sid, token
-- -> REFUSED | KEPT (another webhook opened the call, or has served it)
local function rf_refuse(keys, args)
  local context, session, events, live, ended = keys[1], keys[2], keys[3], keys[4], keys[5]
  if field(session, 'token:0') ~= args[2] or field(context, 'source') ~= '' then return { 'KEPT' } end
  redis.call('UNLINK', context)
  if field(session, 'phase') == 'ringing' and redis.call('EXISTS', events) == 0 then
    redis.call('ZREM', live, args[1])
    redis.call('UNLINK', session)
    return { 'REFUSED' }
  end
  redis.call('HDEL', session, 'token:0', 'until:0')
  if field(session, 'phase') == 'ringing' then
    redis.call('HSET', session, 'phase', 'ended')
    index_ended(session, ended, live, args[1], 'event')
  end
  return { 'REFUSED' }
end
register('rf_refuse', rf_refuse, { 'allow-oom' })

local WORTH = { minimal = 1, snapshot = 2, partial = 3, database = 4 }

-- Whether the context that is there came from a better source than these fields.
local function is_better(context, args)
  for i = 1, #args, 2 do
    if args[i] == 'source' then return (WORTH[field(context, 'source')] or 0) > (WORTH[args[i + 1]] or 0) end
  end
  return false
end

-- rf_fill: fields of a context whose key is there. Those of a worse source than it has are not taken. It does not bring a
-- context back whose time is over, and does not prolong it. With a second key the call's row may be missing in
-- Postgres: a call_open entry, made once of the context, will make it.
-- KEYS context[, events]
-- ARGV fields and values (with a second key: from, to, direction, opened_ms too)
-- -> FILLED count | BETTER (what is there) | GONE
local function rf_fill(keys, args)
  local context, events = keys[1], keys[2]
  if redis.call('EXISTS', context) == 0 then return { 'GONE' } end
  local better = is_better(context, args)
  if not better then redis.call('HSET', context, unpack(args)) end
  if events and not has_entry(events, 'open') then
    redis.call('XADD', events, '*', 'id', 'open', 'at', int(now_ms()), 'type', 'call_open', 'by', 'warmer',
      'from', field(context, 'from'), 'to', field(context, 'to'), 'direction', field(context, 'direction'),
      'started_ms', field(context, 'opened_ms'))
  end
  if better then return { 'BETTER' } end
  return { 'FILLED', #args / 2 }
end
register('rf_fill', rf_fill, {})

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
register('rf_keep', rf_keep, {})

-- rf_dial: a call is about to be dialled: as rf_open, with the whole context, before there is anybody to stream to. Its token
-- is made when somebody answers (rf_after with n = 0). A later attempt at the same call writes the context anew.
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
register('rf_dial', rf_dial, {})
